#include "ops/sinusoid.hpp"

#include <cmath>

#include "compute/parallel.hpp"

namespace tessera::ops {

Tensor sinusoid(const Tensor& level, std::int64_t width, DType result_type) {
  const std::int64_t batch = level.numel();
  const std::int64_t half = width / 2;
  Tensor result = Tensor::empty({batch, width}, result_type);
  if (result.is_meta()) return result;
  dispatch_floating(level.dtype(), [&]<class L>(L) {
    dispatch_floating(result_type, [&]<class R>(R) {
      const L* levels = level.data<L>();
      R* out = result.data<R>();
      parallel_elements(batch * half, KOKKOS_LAMBDA(std::size_t i) {
        const std::size_t row = i / static_cast<std::size_t>(half);
        const std::size_t j = i % static_cast<std::size_t>(half);
        const double frequency = ::exp(-9.2103403719761836 * static_cast<double>(j) / static_cast<double>(half));
        const double angle = static_cast<double>(levels[row]) * frequency;
        R* target = out + row * static_cast<std::size_t>(width);
        target[j] = R(static_cast<arithmetic_t<R>>(::cos(angle)));
        target[static_cast<std::size_t>(half) + j] = R(static_cast<arithmetic_t<R>>(::sin(angle)));
      });
    });
  });
  return result;
}

}  // namespace tessera::ops
