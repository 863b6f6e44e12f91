#include "ops/channels.hpp"

#include "compute/parallel.hpp"
#include "ops/dispatch.hpp"
#include "ops/typed_slot.hpp"
#include "ops/validate.hpp"

namespace tessera::ops {
namespace {

// Element i of `part`, an image having `size` elements of them, is element `first` + i of the whole image,
// which has `whole_size` elements.
struct Range {
  std::size_t size, whole_size, first;

  [[nodiscard]] KOKKOS_INLINE_FUNCTION std::size_t in_whole(std::size_t i) const {
    return i / size * whole_size + first + i % size;
  }
};

template <class T>
void take(std::int64_t count, const Range& range, const T* whole, T* part) {
  parallel_elements(
      count, KOKKOS_LAMBDA(std::size_t i) { part[i] = whole[range.in_whole(i)]; });
}

template <class T>
void add_back(std::int64_t count, const Range& range, const T* part, T* whole) {
  parallel_elements(
      count, KOKKOS_LAMBDA(std::size_t i) {
        put<true>(whole[range.in_whole(i)], static_cast<arithmetic_t<T>>(part[i]));
      });
}

}  // namespace

Variable channel_range(const Variable& x, std::int64_t first, std::int64_t count) {
  const char* const operation = "channel_range";
  require_floating(x.value(), operation);
  const Shape& shape = x.shape();
  require(shape.rank() == 4, operation, "the input must be [batch, channels, height, width]", shape);
  require(first >= 0 && count > 0 && first + count <= shape[1], operation,
          "the channels must be some of the input's", shape, {first, count});
  const auto plane = static_cast<std::size_t>(shape[2] * shape[3]);
  const Range range{static_cast<std::size_t>(count) * plane, static_cast<std::size_t>(shape[1]) * plane,
                    static_cast<std::size_t>(first) * plane};
  Tensor part = Tensor::empty({shape[0], count, shape[2], shape[3]}, x.dtype());
  if (!part.is_meta()) {
    dispatch_floating(x.dtype(),
                      [&]<class T>(T) { take(part.numel(), range, x.value().data<T>(), part.data<T>()); });
  }
  return record(part, {x}, [node = x.node(), range, type = x.dtype()](const Tensor& gradient) {
    TypedSlot slot(node, type);
    if (!slot) return;
    slot.make_additive();
    if (gradient.is_meta()) return;
    dispatch_floating(
        type, [&]<class T>(T) { add_back(gradient.numel(), range, gradient.data<T>(), slot.data<T>()); });
    slot.commit();
  });
}

}  // namespace tessera::ops
