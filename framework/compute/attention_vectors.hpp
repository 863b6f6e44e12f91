#pragma once
// Invariant: a Vector<T> is as wide as the widest registers the compiler may use, and everything here is
// inlined into registers. For host sources only.

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "tensor/dtype.hpp"

namespace tessera::compute {

#if defined(__AVX512F__)
inline constexpr std::size_t vector_bytes = 64;
inline constexpr bool many_registers = true;  // 32 of them; 16 otherwise
#elif defined(__AVX__)
inline constexpr std::size_t vector_bytes = 32;
inline constexpr bool many_registers = false;
#else
inline constexpr std::size_t vector_bytes = 16;
inline constexpr bool many_registers = false;
#endif

template <class T>
struct VectorOf;
template <>
struct VectorOf<float> {
  typedef float type __attribute__((vector_size(vector_bytes)));
};
template <>
struct VectorOf<double> {
  typedef double type __attribute__((vector_size(vector_bytes)));
};
template <>
struct VectorOf<std::int32_t> {
  typedef std::int32_t type __attribute__((vector_size(vector_bytes)));
};
template <>
struct VectorOf<std::uint16_t> {  // half as wide: widens to a Vector of 32-bit elements
  typedef std::uint16_t type __attribute__((vector_size(vector_bytes / 2)));
};
template <class T>
using Vector = typename VectorOf<T>::type;
template <class T>
inline constexpr std::size_t lanes = vector_bytes / sizeof(T);

#define TESSERA_INLINE [[gnu::always_inline]] inline

template <class T>
TESSERA_INLINE Vector<T> load(const T* from) {
  Vector<T> value;
  __builtin_memcpy(&value, from, sizeof(value));
  return value;
}
template <class T>
TESSERA_INLINE void store(T* to, const Vector<T>& value) {
  __builtin_memcpy(to, &value, sizeof(value));
}

TESSERA_INLINE Vector<float> widen(const bfloat16* from) {
  Vector<std::uint16_t> halves;
  __builtin_memcpy(&halves, from, sizeof(halves));
  const Vector<std::int32_t> bits = __builtin_convertvector(halves, Vector<std::int32_t>) << 16;
  Vector<float> value;
  __builtin_memcpy(&value, &bits, sizeof(value));
  return value;
}
TESSERA_INLINE Vector<float> widen(const float* from) { return load(from); }
TESSERA_INLINE Vector<double> widen(const double* from) { return load(from); }

/// `count` elements (at most a vector) in their arithmetic type, zeros after them.
template <class S>
TESSERA_INLINE Vector<arithmetic_t<S>> load_some(const S* from, std::size_t count) {
  using A = arithmetic_t<S>;
  if (count >= lanes<A>) return widen(from);
  Vector<A> value{};
  for (std::size_t i = 0; i < count; ++i) value[i] = static_cast<A>(from[i]);
  return value;
}

// One stage of the butterfly: exchanges blocks of `Step` elements between two vectors.
template <std::size_t Step, class V, std::size_t... I>
TESSERA_INLINE void exchange(V& a, V& b, std::index_sequence<I...>) {
  constexpr std::size_t count = sizeof...(I);
  const V low = __builtin_shufflevector(a, b, ((I & Step) != 0 ? count + I - Step : I)...);
  const V high = __builtin_shufflevector(a, b, ((I & Step) != 0 ? count + I : I + Step)...);
  a = low;
  b = high;
}

/// Transposes a square of lanes x lanes elements held in registers.
template <class T, std::size_t Step = 1>
TESSERA_INLINE void transpose(Vector<T> (&rows)[lanes<T>]) {
  if constexpr (Step < lanes<T>) {
#pragma GCC unroll 16
    for (std::size_t i = 0; i < lanes<T>; ++i) {
      if ((i & Step) == 0) exchange<Step>(rows[i], rows[i + Step], std::make_index_sequence<lanes<T>>());
    }
    transpose<T, 2 * Step>(rows);
  }
}

template <class T>
TESSERA_INLINE Vector<T> larger(const Vector<T>& a, const Vector<T>& b) {
  return a > b ? a : b;
}

/// Softmax works on powers of `Power<T>::base`: scores are multiplied by `scale` = 1/ln(base) first.
template <class T>
struct Power;

/// 2^x, |relative error| < 3e-7, for x <= 127; results below 2^-126 become 2^-126, in effect zero beside the
/// 1 that every softmax row holds. NaN stays NaN.
template <>
struct Power<float> {
  static constexpr double scale = 1.44269504088896340736;

  TESSERA_INLINE static Vector<float> of(Vector<float> x) {
    const Vector<float> lowest = Vector<float>{} - 126.0F;
    x = x < lowest ? lowest : x;
    const Vector<float> shifted = x + 12582912.0F;  // 1.5 * 2^23: rounds to an integer
    const Vector<float> r = x - (shifted - 12582912.0F);
    // Taylor's coefficients ln(2)^n/n!: |r| <= 1/2, so the first one left out is below 2e-8.
    Vector<float> p = Vector<float>{} + 1.5403530394e-4F;
    p = p * r + 1.3333558146e-3F;
    p = p * r + 9.6181291076e-3F;
    p = p * r + 5.5504108665e-2F;
    p = p * r + 2.4022650696e-1F;
    p = p * r + 6.9314718056e-1F;
    p = p * r + 1.0F;
    Vector<std::int32_t> exponent, bits;
    __builtin_memcpy(&exponent, &shifted, sizeof(exponent));
    __builtin_memcpy(&bits, &p, sizeof(bits));
    bits += exponent << 23;
    __builtin_memcpy(&p, &bits, sizeof(p));
    return p;
  }
  static float log(float x) { return std::log2(x); }
};

template <>
struct Power<double> {
  static constexpr double scale = 1;

  TESSERA_INLINE static Vector<double> of(Vector<double> x) {
    for (std::size_t i = 0; i < lanes<double>; ++i) x[i] = std::exp(x[i]);
    return x;
  }
  static double log(double x) { return std::log(x); }
};

}  // namespace tessera::compute
