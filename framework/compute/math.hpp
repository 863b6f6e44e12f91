#pragma once
// Invariant: these functions have no branches and no calls in float32, so that a loop over them vectorises;
// in float64 they are the C library's, for gradient checks. Checked over all floats: relative error of exp
// below 1e-7 where the result is a normal number (smaller ones become zero) and of sigmoid below 2e-7;
// errors of the GELUs, of SiLU and of their derivatives below 2.5e-7 max(1, |x|). NaN stays NaN.

#include <cmath>
#include <cstdint>

#include "base/device_function.hpp"

namespace tessera::math {

TESSERA_INLINE_FUNCTION double sqrt(double x) { return ::sqrt(x); }
TESSERA_INLINE_FUNCTION float sqrt(float x) { return ::sqrtf(x); }

TESSERA_INLINE_FUNCTION double exp(double x) { return ::exp(x); }

/// Cody-Waite reduction x = n ln2 + r, |r| <= ln2/2, then the Taylor polynomial of degree 7. The range is
/// limited on the bits: g++ turns comparisons of floats here into mask arithmetic that costs half the speed.
TESSERA_INLINE_FUNCTION float exp(float x) {
  constexpr std::int32_t overflowing = 0x42b1999a;  // 88.8F, whose exponential overflows
  constexpr std::uint32_t vanishing = 0xc2b40000U;  // -90.0F, whose exponential is no normal number
  constexpr std::int32_t infinity = 0x7f800000;
  std::int32_t bits;
  __builtin_memcpy(&bits, &x, sizeof(bits));
  // Positive floats are ordered like signed integers; negative ones, larger as unsigned integers than all
  // positive ones, backwards.
  bits = bits < overflowing ? bits : overflowing;
  std::uint32_t limited = static_cast<std::uint32_t>(bits);
  limited = limited < vanishing ? limited : vanishing;
  float c;
  __builtin_memcpy(&c, &limited, sizeof(c));
  // 1.5 * 2^23 rounds to an integer and leaves that integer in the low bits.
  const float shifted = c * 1.44269504088896341F + 12582912.0F;
  const float n = shifted - 12582912.0F;
  float r = c - n * 0.693359375F;
  r = r + n * 2.12194440e-4F;
  float p = 1.9841269841e-4F;
  p = p * r + 1.3888888889e-3F;
  p = p * r + 8.3333333333e-3F;
  p = p * r + 4.1666666667e-2F;
  p = p * r + 1.6666666667e-1F;
  p = p * r + 0.5F;
  p = p * r + 1.0F;
  p = p * r + 1.0F;
  // p 2^n by adding n to the exponent: 2^n alone would overflow at n = 128, where p < 1 still fits.
  std::uint32_t mantissa;
  std::uint32_t exponent;
  __builtin_memcpy(&mantissa, &p, sizeof(mantissa));
  __builtin_memcpy(&exponent, &shifted, sizeof(exponent));
  bits = static_cast<std::int32_t>(mantissa + (exponent << 23));
  bits = bits < infinity ? bits : infinity;
  bits = bits > 0 ? bits : 0;
  float result;
  __builtin_memcpy(&result, &bits, sizeof(result));
  return x == x ? result : x;
}

template <class T>
TESSERA_INLINE_FUNCTION T sigmoid(T x) {
  return T(1) / (T(1) + math::exp(-x));
}

/// Distribution function and density of the standard normal.
template <class T>
struct Normal {
  T cdf;
  T density;
};
TESSERA_INLINE_FUNCTION Normal<double> normal(double x) {
  return {0.5 * ::erfc(-x * 0.70710678118654752440), 0.39894228040143267794 * ::exp(-0.5 * x * x)};
}
/// The tail is exp(-x^2/2) t P(s) with t = 1/(1 + c|x|), s = 1 - t and P fitted by us to a relative error of
/// 2e-8 up to |x| = 13.5, where the density leaves float32. Both tails keep their relative accuracy, which
/// 1 + erf loses; s, taken as c|x| t, is accurate near zero, which 1 - t is not.
TESSERA_INLINE_FUNCTION Normal<float> normal(float x) {
  const float scaled = 0.35355339F * (x < 0 ? -x : x);
  const float t = 1.0F / (1.0F + scaled);
  const float s = scaled * t;
  float p = -0.00676499327F;
  p = p * s - 0.00406272088F;
  p = p * s + 0.0539405057F;
  p = p * s - 0.0405025861F;
  p = p * s - 0.0284761079F;
  p = p * s - 0.0545230313F;
  p = p * s + 0.106614285F;
  p = p * s + 0.243182773F;
  p = p * s - 0.628377397F;
  p = p * s + 0.499999991F;
  const float e = math::exp(-0.5F * x * x);
  const float tail = e * t * p;
  return {x < 0 ? tail : 1.0F - tail, 0.39894228040143267794F * e};
}

/// Exact GELU, x Phi(x), and its derivative Phi(x) + x phi(x) (Hendrycks and Gimpel 2016).
template <class T>
TESSERA_INLINE_FUNCTION T gelu_erf(T x) {
  return x * math::normal(x).cdf;
}
template <class T>
TESSERA_INLINE_FUNCTION T gelu_erf_derivative(T x) {
  const Normal<T> n = math::normal(x);
  return n.cdf + x * n.density;
}

/// The logistic function and its slope, both without cancellation or overflow.
template <class T>
struct Logistic {
  T value;
  T slope;
};
template <class T>
TESSERA_INLINE_FUNCTION Logistic<T> logistic(T x) {
  const T e = math::exp(x < T(0) ? x : -x);
  const T r = T(1) / (T(1) + e);
  const T er = e * r;
  return {x < T(0) ? er : r, er * r};
}

/// GELU by the tanh formula, written as x sigmoid(2u), which is the same number without the cancellation of
/// 1 + tanh(u) for negative x; and its derivative.
template <class T>
TESSERA_INLINE_FUNCTION T gelu_tanh(T x) {
  const T u2 = T(2 * 0.79788456080286535588) * x * (T(1) + T(0.044715) * x * x);
  return x * math::sigmoid(u2);
}
template <class T>
TESSERA_INLINE_FUNCTION T gelu_tanh_derivative(T x) {
  // Limited, because far out the formula would be 0 * infinity.
  const T square = x * x < T(1e8) ? x * x : T(1e8);
  const T u2 = T(2 * 0.79788456080286535588) * x * (T(1) + T(0.044715) * square);
  const T du2 = T(2 * 0.79788456080286535588) * (T(1) + T(3) * T(0.044715) * square);
  const Logistic<T> s = logistic(u2);
  return s.value + x * s.slope * du2;
}

template <class T>
TESSERA_INLINE_FUNCTION T silu(T x) {
  return x * math::sigmoid(x);
}
template <class T>
TESSERA_INLINE_FUNCTION T silu_derivative(T x) {
  const Logistic<T> s = logistic(x);
  return s.value + x * s.slope;
}

}  // namespace tessera::math
