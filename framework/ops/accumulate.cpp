#include "ops/accumulate.hpp"

#include <type_traits>

#include "compute/parallel.hpp"
#include "ops/dispatch.hpp"

namespace tessera::ops {
namespace {

// float64 only when a side has it: the sum of a float32 and a bfloat16 needs no more than float32.
template <class S, class D>
using Wider = std::conditional_t<std::is_same_v<S, double> || std::is_same_v<D, double>, double, float>;

template <class S, class D>
void convert(std::int64_t count, const S* from, D* to) {
  using A = Wider<S, D>;
  parallel_elements(
      count, KOKKOS_LAMBDA(std::size_t i) { to[i] = D(static_cast<A>(from[i])); });
}

template <class S, class D>
void accumulate(std::int64_t count, const S* from, D* to) {
  using A = Wider<S, D>;
  parallel_elements(
      count, KOKKOS_LAMBDA(std::size_t i) { to[i] = D(static_cast<A>(to[i]) + static_cast<A>(from[i])); });
}

}  // namespace

void add_into(const Tensor& source, const Tensor& destination, bool add) {
  if (source.numel() != destination.numel()) {
    throw Error("cannot add " + source.shape().to_string() + " to " + destination.shape().to_string());
  }
  if (source.is_meta() || destination.is_meta()) return;
  if (!add && source.dtype() == destination.dtype()) {
    destination.copy_from(source);
    return;
  }
  const std::int64_t count = source.numel();
  dispatch_floating(source.dtype(), [&]<class S>(S) {
    dispatch_floating(destination.dtype(), [&]<class D>(D) {
      if (add) {
        accumulate(count, source.data<S>(), destination.data<D>());
      } else {
        convert(count, source.data<S>(), destination.data<D>());
      }
    });
  });
}

Tensor converted(const Tensor& source, DType type) {
  if (source.dtype() == type) return source;
  if (source.is_meta()) return Tensor::meta(source.shape(), type);
  Tensor result = Tensor::empty(source.shape(), type);
  add_into(source, result, false);
  return result;
}

}  // namespace tessera::ops
