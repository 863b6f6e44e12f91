#include "ops/loss.hpp"

#include <string>

#include "compute/parallel.hpp"
#include "ops/accumulate.hpp"
#include "ops/dispatch.hpp"
#include "ops/typed_slot.hpp"
#include "ops/validate.hpp"

namespace tessera::ops {
namespace {

// An image of channels x height x width pixels, cut into cells of cell_height x cell_width pixels that count
// with one factor each. Without a mask the whole image is one cell.
struct Cells {
  std::size_t images;
  std::size_t channels;
  std::size_t height;
  std::size_t width;
  std::size_t cell_height;
  std::size_t cell_width;

  [[nodiscard]] KOKKOS_INLINE_FUNCTION std::size_t columns() const { return width / cell_width; }
  [[nodiscard]] KOKKOS_INLINE_FUNCTION std::size_t per_image() const {
    return height / cell_height * columns();
  }
  /// The cell factors of pixel row y of an image.
  template <class A>
  [[nodiscard]] KOKKOS_INLINE_FUNCTION const A* factors(const A* all, std::size_t image,
                                                        std::size_t y) const {
    return all + image * per_image() + y / cell_height * columns();
  }
};

// factor[image, cell] = kept / (number of kept cells * elements of a cell): the weight of one squared error.
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

// partial[image, channel] = sum of factor * (prediction - target)^2, in float64 and in order of the pixels.
template <class P, class A>
void channel_errors(const Cells& cells, const P* prediction, const A* target, const A* factor,
                    double* partial) {
  const Cells s = cells;
  parallel_rows(
      static_cast<std::int64_t>(s.images * s.channels), KOKKOS_LAMBDA(std::size_t index) {
        const std::size_t image = index / s.channels;
        double sum = 0;
        for (std::size_t y = 0; y < s.height; ++y) {
          const A* f = s.factors(factor, image, y);
          const P* p = prediction + (index * s.height + y) * s.width;
          const A* t = target + (index * s.height + y) * s.width;
          for (std::size_t cell = 0; cell < s.columns(); ++cell) {
            double squares = 0;
#pragma omp simd reduction(+ : squares)
            for (std::size_t x = cell * s.cell_width; x < (cell + 1) * s.cell_width; ++x) {
              const double d = static_cast<double>(static_cast<A>(p[x]) - t[x]);
              squares += d * d;
            }
            sum += static_cast<double>(f[cell]) * squares;
          }
        }
        partial[index] = sum;
      });
}

template <class A>
void image_losses(const Cells& cells, const double* partial, const A* weight, A* loss) {
  const std::size_t channels = cells.channels;
  parallel_rows(
      static_cast<std::int64_t>(cells.images), KOKKOS_LAMBDA(std::size_t image) {
        double sum = 0;
        for (std::size_t c = 0; c < channels; ++c) sum += partial[image * channels + c];
        loss[image] = static_cast<A>(static_cast<double>(weight[image]) * sum);
      });
}

template <bool add, class P, class A>
void error_backward(const Cells& cells, const P* prediction, const A* target, const A* weight,
                    const A* factor, const A* dloss, P* to) {
  const Cells s = cells;
  parallel_rows(
      static_cast<std::int64_t>(s.images * s.channels * s.height), KOKKOS_LAMBDA(std::size_t line) {
        const std::size_t y = line % s.height;
        const std::size_t image = line / s.height / s.channels;
        const A* f = s.factors(factor, image, y);
        const A seed = A(2) * dloss[image] * weight[image];
        for (std::size_t cell = 0; cell < s.columns(); ++cell) {
          const A scale = seed * f[cell];
#pragma omp simd
          for (std::size_t i = cell * s.cell_width; i < (cell + 1) * s.cell_width; ++i) {
            const std::size_t x = line * s.width + i;
            put<add>(to[x], scale * (static_cast<A>(prediction[x]) - target[x]));
          }
        }
      });
}

// [images, cells] in `type`.
Tensor cell_factors(const Cells& cells, const Tensor& removed, DType type) {
  const Tensor factor = Tensor::empty(
      {static_cast<std::int64_t>(cells.images), static_cast<std::int64_t>(cells.per_image())}, type);
  if (factor.is_meta()) return factor;
  const auto fill = [&]<class A>(A) {
    A* to = factor.data<A>();
    if (!removed.defined()) {
      uniform_factors(cells, to);
      return;
    }
    switch (removed.dtype()) {
      case DType::u8:
        return kept_factors(cells, removed.data<std::uint8_t>(), to);
      case DType::i32:
        return kept_factors(cells, removed.data<std::int32_t>(), to);
      case DType::i64:
        return kept_factors(cells, removed.data<std::int64_t>(), to);
      default:
        return kept_factors(cells, converted(removed, DType::f32).data<float>(), to);
    }
  };
  if (type == DType::f64) {
    fill(double{});
  } else {
    fill(float{});
  }
  return factor;
}

}  // namespace

Variable squared_error(const Variable& prediction, const Tensor& target, const Tensor& weight,
                       const Tensor& removed, std::int64_t patch) {
  const char* const operation = "squared_error";
  require_floating(prediction.value(), operation);
  const Shape& shape = prediction.shape();
  require(shape.rank() == 4 && shape.numel() > 0, operation,
          "the prediction must be [batch, channels, height, width] and not empty", shape);
  require(shape == target.shape(), operation, "prediction and target have one shape", shape, target.shape());
  require(weight.shape() == Shape{shape[0]}, operation, "there must be one weight per image", weight.shape(),
          shape);
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
  const DType type = arithmetic_of(prediction.dtype());
  const Tensor p = prediction.value();
  const Tensor t = converted(target, type);
  const Tensor w = converted(weight, type);
  const Tensor factor = cell_factors(cells, removed, type);
  Tensor loss = Tensor::empty({shape[0]}, type);
  if (!loss.is_meta()) {
    const Tensor partial = Tensor::empty({shape[0], shape[1]}, DType::f64);
    dispatch_floating(p.dtype(), [&]<class P>(P) {
      using A = arithmetic_t<P>;
      channel_errors(cells, p.data<P>(), t.data<A>(), factor.data<A>(), partial.data<double>());
      image_losses(cells, partial.data<double>(), w.data<A>(), loss.data<A>());
    });
  }
  return record(loss, {prediction}, [node = prediction.node(), cells, p, t, w, factor](const Tensor& dloss) {
    const TypedSlot slot(node, p.dtype());
    if (!slot || dloss.is_meta()) return;
    dispatch_floating(p.dtype(), [&]<class P>(P) {
      using A = arithmetic_t<P>;
      dispatch_flag(slot.accumulate(), [&](auto add) {
        error_backward<add()>(cells, p.data<P>(), t.data<A>(), w.data<A>(), factor.data<A>(), dloss.data<A>(),
                              slot.data<P>());
      });
    });
    slot.commit();
  });
}

}  // namespace tessera::ops
