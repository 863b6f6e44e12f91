#include "ops/kept_cells.hpp"

#include "compute/parallel.hpp"
#include "ops/accumulate.hpp"
#include "ops/validate.hpp"

namespace tessera::ops {
namespace {

template <class R, class A>
void kept_factors(const Cells& cells, const R* removed, A* factor) {
  const Cells s = cells;
  parallel_rows(
      static_cast<std::int64_t>(s.images), KOKKOS_LAMBDA(std::size_t image) {
        const std::size_t count = s.per_image();
        const R* from = removed + image * count;
        double kept = 0;
        for (std::size_t i = 0; i < count; ++i) kept += 1.0 - static_cast<double>(from[i]);
        const double elements = static_cast<double>(s.channels * s.cell_height * s.cell_width);
        for (std::size_t i = 0; i < count; ++i) {
          // An image without kept tokens has no error to speak of.
          factor[image * count + i] =
              kept > 0 ? static_cast<A>((1.0 - static_cast<double>(from[i])) / (kept * elements)) : A(0);
        }
      });
}

template <class A>
void uniform_factors(const Cells& cells, A* factor) {
  const double value = 1.0 / static_cast<double>(cells.channels * cells.height * cells.width);
  parallel_elements(
      static_cast<std::int64_t>(cells.images),
      KOKKOS_LAMBDA(std::size_t i) { factor[i] = static_cast<A>(value); });
}

template <class A>
void fill_factors(const Cells& cells, const Tensor& removed, A* factor) {
  if (!removed.defined()) {
    uniform_factors(cells, factor);
    return;
  }
  switch (removed.dtype()) {
    case DType::u8:
      return kept_factors(cells, removed.data<std::uint8_t>(), factor);
    case DType::i32:
      return kept_factors(cells, removed.data<std::int32_t>(), factor);
    case DType::i64:
      return kept_factors(cells, removed.data<std::int64_t>(), factor);
    default:
      return kept_factors(cells, converted(removed, DType::f32).data<float>(), factor);
  }
}

}  // namespace

Cells cells_of(const Shape& shape, const Tensor& removed, std::int64_t patch, const char* operation) {
  Cells cells{static_cast<std::size_t>(shape[0]), static_cast<std::size_t>(shape[1]),
              static_cast<std::size_t>(shape[2]), static_cast<std::size_t>(shape[3]),
              static_cast<std::size_t>(shape[2]), static_cast<std::size_t>(shape[3])};
  if (removed.defined()) {
    require(patch > 0 && shape[2] % patch == 0 && shape[3] % patch == 0, operation,
            "the patch must divide the sides of the image", shape, {patch, patch});
    cells.cell_height = cells.cell_width = static_cast<std::size_t>(patch);
    require(removed.shape() == Shape{shape[0], static_cast<std::int64_t>(cells.per_image())}, operation,
            "the mask must be [batch, tokens]", removed.shape(), shape);
  }
  return cells;
}

Tensor cell_factors(const Cells& cells, const Tensor& removed, DType type) {
  const Tensor factor = Tensor::empty(
      {static_cast<std::int64_t>(cells.images), static_cast<std::int64_t>(cells.per_image())}, type);
  if (factor.is_meta()) return factor;
  if (type == DType::f64) {
    fill_factors(cells, removed, factor.data<double>());
  } else {
    fill_factors(cells, removed, factor.data<float>());
  }
  return factor;
}

}  // namespace tessera::ops
