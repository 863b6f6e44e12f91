#include "ops/accumulate.hpp"

#include "compute/parallel.hpp"

namespace tessera::ops {

void add_into(const Tensor& source, const Tensor& destination, bool accumulate) {
  if (source.numel() != destination.numel()) {
    throw Error("cannot add " + source.shape().to_string() + " to " + destination.shape().to_string());
  }
  if (destination.is_meta()) return;
  dispatch_floating(source.dtype(), [&]<class S>(S) {
    dispatch_floating(destination.dtype(), [&]<class D>(D) {
      using A = arithmetic_t<D>;
      const S* from = source.data<S>();
      D* to = destination.data<D>();
      if (accumulate) {
        parallel_elements(
            destination.numel(), KOKKOS_LAMBDA(std::size_t i) {
              to[i] = D(static_cast<A>(to[i]) + static_cast<A>(static_cast<arithmetic_t<S>>(from[i])));
            });
      } else {
        parallel_elements(
            destination.numel(), KOKKOS_LAMBDA(std::size_t i) {
              to[i] = D(static_cast<A>(static_cast<arithmetic_t<S>>(from[i])));
            });
      }
    });
  });
}

Tensor converted(const Tensor& source, DType type) {
  if (source.dtype() == type) return source;
  Tensor result = Tensor::empty(source.shape(), type);
  add_into(source, result, false);
  return result;
}

}  // namespace tessera::ops
