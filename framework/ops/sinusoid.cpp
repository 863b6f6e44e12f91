#include "ops/sinusoid.hpp"

#include <cmath>

#include "compute/parallel.hpp"

namespace tessera::ops {

namespace {

constexpr double log_period = static_cast<double>(-9.2103403719761836F);  // -ln(10000)

// Kernels stand in function templates of their own: nvcc takes no device lambda inside a generic lambda.
template <class L, class R>
void fill(const L* levels, R* out, std::int64_t batch, std::int64_t half, std::int64_t width) {
  parallel_elements(
      batch * half, KOKKOS_LAMBDA(std::size_t i) {
        const std::size_t row = i / static_cast<std::size_t>(half);
        const std::size_t j = i % static_cast<std::size_t>(half);
        // Exponent, frequency and angle are float32 values in the published models, in every precision; so
        // here, or the features would differ from theirs by several units in the last place of the angle.
        // What remains is the last place of float32's exp, sin and cos, which differs between builds of
        // PyTorch.
        const auto step = static_cast<float>(log_period * static_cast<double>(j));
        const auto exponent = static_cast<float>(static_cast<double>(step) / static_cast<double>(half));
        const auto frequency = static_cast<float>(::exp(static_cast<double>(exponent)));
        const float angle = static_cast<float>(levels[row]) * frequency;
        R* target = out + row * static_cast<std::size_t>(width);
        target[j] = R(static_cast<float>(::cos(static_cast<double>(angle))));
        target[static_cast<std::size_t>(half) + j] = R(static_cast<float>(::sin(static_cast<double>(angle))));
      });
}

}  // namespace

Tensor sinusoid(const Tensor& level, std::int64_t width, DType result_type) {
  const std::int64_t batch = level.numel();
  const std::int64_t half = width / 2;
  Tensor result = Tensor::empty({batch, width}, result_type);
  if (result.is_meta()) return result;
  dispatch_floating(level.dtype(), [&]<class L>(L) {
    dispatch_floating(result_type,
                      [&]<class R>(R) { fill(level.data<L>(), result.data<R>(), batch, half, width); });
  });
  return result;
}

}  // namespace tessera::ops
