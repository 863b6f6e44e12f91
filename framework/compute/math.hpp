#pragma once
// Invariant: these functions have no branches and no calls in float32, so that a loop over them vectorises;
// in float64 they are the C library's, for gradient checks. Float32 relative error of exp is below 2e-7,
// absolute error of erf and tanh below 3e-7.

#include <Kokkos_Core.hpp>
#include <cmath>
#include <cstdint>

namespace tessera::math {

KOKKOS_INLINE_FUNCTION double sqrt(double x) { return ::sqrt(x); }
KOKKOS_INLINE_FUNCTION float sqrt(float x) { return ::sqrtf(x); }

KOKKOS_INLINE_FUNCTION double exp(double x) { return ::exp(x); }

/// Cody-Waite reduction x = n ln2 + r, |r| <= ln2/2, then the Taylor polynomial of degree 7.
KOKKOS_INLINE_FUNCTION float exp(float x) {
  constexpr float highest = 88.37F;
  constexpr float lowest = -87.33F;
  const float clamped = x > highest ? highest : (x < lowest ? lowest : x);
  const float shifted = clamped * 1.44269504088896341F + 12582912.0F;  // 1.5 * 2^23: rounds to an integer
  const float n = shifted - 12582912.0F;
  float r = clamped - n * 0.693359375F;
  r = r + n * 2.12194440e-4F;
  float p = 1.9841269841e-4F;
  p = p * r + 1.3888888889e-3F;
  p = p * r + 8.3333333333e-3F;
  p = p * r + 4.1666666667e-2F;
  p = p * r + 1.6666666667e-1F;
  p = p * r + 0.5F;
  p = p * r + 1.0F;
  p = p * r + 1.0F;
  const std::int32_t bits = (static_cast<std::int32_t>(n) + 127) << 23;
  float scale;
  __builtin_memcpy(&scale, &bits, sizeof(scale));
  const float result = p * scale;
  // NaN must stay NaN (the clamp lets it through); anything below the range is zero.
  return x < lowest ? 0.0F : result;
}

template <class T>
KOKKOS_INLINE_FUNCTION T sigmoid(T x) {
  return T(1) / (T(1) + math::exp(-x));
}

KOKKOS_INLINE_FUNCTION double tanh(double x) { return ::tanh(x); }
/// 1 - 2/(exp(2x)+1); near zero an odd polynomial, where the quotient would cancel.
KOKKOS_INLINE_FUNCTION float tanh(float x) {
  const float quotient = 1.0F - 2.0F / (math::exp(2.0F * x) + 1.0F);
  const float s = x * x;
  const float series =
      x + x * s * (-0.333333333F + s * (0.133333333F + s * (-0.0539682540F + s * 0.0218694885F)));
  const float magnitude = x < 0 ? -x : x;
  return magnitude < 0.25F ? series : quotient;
}

KOKKOS_INLINE_FUNCTION double erf(double x) { return ::erf(x); }
/// Abramowitz and Stegun 7.1.26 has too large an error for float32; this is 1 - t exp(-x^2 + P(t)) with
/// t = 1/(1+|x|/2) (the Chebyshev fit of erfc with fractional error below 1.2e-7), and a series near zero.
KOKKOS_INLINE_FUNCTION float erf(float x) {
  const float z = x < 0 ? -x : x;
  const float t = 1.0F / (1.0F + 0.5F * z);
  float p = 0.17087277F;
  p = p * t - 0.82215223F;
  p = p * t + 1.48851587F;
  p = p * t - 1.13520398F;
  p = p * t + 0.27886807F;
  p = p * t - 0.18628806F;
  p = p * t + 0.09678418F;
  p = p * t + 0.37409196F;
  p = p * t + 1.00002368F;
  const float complement = t * math::exp(-z * z - 1.26551223F + t * p);
  const float large = x < 0 ? complement - 1.0F : 1.0F - complement;
  const float s = x * x;
  const float series =
      x *
      (1.128379167F + s * (-0.376126389F + s * (0.112837917F + s * (-0.0268661706F + s * 0.00522397762F))));
  return z < 0.3F ? series : large;
}

/// Exact GELU, x Phi(x), and its derivative Phi(x) + x phi(x).
template <class T>
KOKKOS_INLINE_FUNCTION T gelu_erf(T x) {
  return T(0.5) * x * (T(1) + math::erf(x * T(0.70710678118654752440)));
}
template <class T>
KOKKOS_INLINE_FUNCTION T gelu_erf_derivative(T x) {
  const T cdf = T(0.5) * (T(1) + math::erf(x * T(0.70710678118654752440)));
  return cdf + x * T(0.39894228040143267794) * math::exp(T(-0.5) * x * x);
}

/// GELU by the tanh formula, and its derivative.
template <class T>
KOKKOS_INLINE_FUNCTION T gelu_tanh(T x) {
  const T u = T(0.79788456080286535588) * (x + T(0.044715) * x * x * x);
  return T(0.5) * x * (T(1) + math::tanh(u));
}
template <class T>
KOKKOS_INLINE_FUNCTION T gelu_tanh_derivative(T x) {
  const T u = T(0.79788456080286535588) * (x + T(0.044715) * x * x * x);
  const T du = T(0.79788456080286535588) * (T(1) + T(3) * T(0.044715) * x * x);
  const T h = math::tanh(u);
  return T(0.5) * (T(1) + h) + T(0.5) * x * (T(1) - h * h) * du;
}

template <class T>
KOKKOS_INLINE_FUNCTION T silu(T x) {
  return x * sigmoid(x);
}
template <class T>
KOKKOS_INLINE_FUNCTION T silu_derivative(T x) {
  const T s = sigmoid(x);
  return s * (T(1) + x * (T(1) - s));
}

}  // namespace tessera::math
