#include "ops/softmax.hpp"

#include <type_traits>

#include "compute/math.hpp"
#include "compute/parallel.hpp"

namespace tessera::ops {
namespace {

template <class A, class B>
using Wider = std::conditional_t<std::is_same_v<A, double> || std::is_same_v<B, double>, double, float>;

template <class A, class T>
KOKKOS_INLINE_FUNCTION A widen(T value) {
  return static_cast<A>(static_cast<arithmetic_t<T>>(value));
}

template <class X, class Y>
void forward(const X* x, Y* y, std::int64_t rows, std::int64_t columns) {
  using A = Wider<X, Y>;
  parallel_rows(
      rows, KOKKOS_LAMBDA(std::size_t i) {
        const X* from = x + i * static_cast<std::size_t>(columns);
        Y* to = y + i * static_cast<std::size_t>(columns);
        A highest = widen<A>(from[0]);
#pragma omp simd reduction(max : highest)
        for (std::int64_t j = 0; j < columns; ++j) {
          const A value = widen<A>(from[j]);
          highest = value > highest ? value : highest;
        }
        A sum = 0;
#pragma omp simd reduction(+ : sum)
        for (std::int64_t j = 0; j < columns; ++j) sum += math::exp(widen<A>(from[j]) - highest);
        const A scale = A(1) / sum;
        // The exponentials are taken again rather than stored: a bfloat16 result must be rounded once.
        for (std::int64_t j = 0; j < columns; ++j) {
          to[j] = Y(static_cast<arithmetic_t<Y>>(math::exp(widen<A>(from[j]) - highest) * scale));
        }
      });
}

/// dx = y (g - sum_j g_j y_j).
template <class Y, class X>
void backward(const Y* y, const Y* gradient, X* dx, std::int64_t rows, std::int64_t columns,
              bool accumulate) {
  using A = Wider<X, Y>;
  parallel_rows(
      rows, KOKKOS_LAMBDA(std::size_t i) {
        const std::size_t begin = i * static_cast<std::size_t>(columns);
        const Y* value = y + begin;
        const Y* g = gradient + begin;
        X* to = dx + begin;
        A dot = 0;
#pragma omp simd reduction(+ : dot)
        for (std::int64_t j = 0; j < columns; ++j) dot += widen<A>(value[j]) * widen<A>(g[j]);
        for (std::int64_t j = 0; j < columns; ++j) {
          const A before = accumulate ? widen<A>(to[j]) : A(0);
          to[j] = X(static_cast<arithmetic_t<X>>(before + widen<A>(value[j]) * (widen<A>(g[j]) - dot)));
        }
      });
}

}  // namespace

Variable softmax(const Variable& x) { return softmax(x, x.dtype()); }

Variable softmax(const Variable& x, DType result_type) {
  if (x.shape().rank() == 0) throw Error("softmax needs at least one extent");
  const std::int64_t columns = x.shape()[-1];
  const std::int64_t rows = columns == 0 ? 0 : x.value().numel() / columns;
  const Tensor y = Tensor::empty(x.shape(), result_type);
  if (!y.is_meta()) {
    dispatch_floating(x.dtype(), [&]<class X>(X) {
      dispatch_floating(result_type,
                        [&]<class Y>(Y) { forward(x.value().data<X>(), y.data<Y>(), rows, columns); });
    });
  }
  return record(y, {x}, [y, rows, columns, node = x.node()](const Tensor& gradient) {
    const GradientSlot slot(node);
    if (!slot || slot.tensor.is_meta()) return;
    dispatch_floating(y.dtype(), [&]<class Y>(Y) {
      dispatch_floating(slot.tensor.dtype(), [&]<class X>(X) {
        backward(y.data<Y>(), gradient.data<Y>(), slot.tensor.data<X>(), rows, columns, slot.accumulate);
      });
    });
  });
}

}  // namespace tessera::ops
