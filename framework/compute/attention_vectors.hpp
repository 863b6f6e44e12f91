#pragma once
// Invariant: a Vector<T> is as wide as the widest registers the compiler may use, and everything here is
// inlined into registers. For host sources only.

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <utility>

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

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
struct VectorOf<std::uint32_t> {
  typedef std::uint32_t type __attribute__((vector_size(vector_bytes)));
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

/// The same bits as elements of another type of the same size.
template <class To, class V>
TESSERA_INLINE Vector<To> cast(const V& value) {
  Vector<To> result;
  static_assert(sizeof(result) == sizeof(value));
  __builtin_memcpy(&result, &value, sizeof(result));
  return result;
}

TESSERA_INLINE Vector<float> widen(const bfloat16* from) {
  Vector<std::uint16_t> halves;
  __builtin_memcpy(&halves, from, sizeof(halves));
  return cast<float>(__builtin_convertvector(halves, Vector<std::uint32_t>) << 16);
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

/// Keeps a loaded vector in its register: without it the compiler folds the load into every instruction that
/// uses the value, and the loads, not the arithmetic, set the pace.
template <class V>
TESSERA_INLINE void hold(V& value) {
#if defined(__x86_64__)
  asm("" : "+v"(value));
#else
  (void)value;
#endif
}
/// Makes a pointer a starting point of its own instead of an offset from another.
template <class T>
TESSERA_INLINE void hold(const T*& pointer) {
#if defined(__x86_64__)
  asm("" : "+r"(pointer));
#else
  (void)pointer;
#endif
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

/// The sum of the elements of each row.
template <class T>
TESSERA_INLINE Vector<T> row_sums(Vector<T> (&rows)[lanes<T>]) {
  transpose<T>(rows);
  Vector<T> sums{};
#pragma GCC unroll 16
  for (std::size_t i = 0; i < lanes<T>; ++i) sums += rows[i];
  return sums;
}

/// The larger of each pair; b where either is NaN, as the processor's own instruction has it.
TESSERA_INLINE Vector<float> larger(Vector<float> a, Vector<float> b) {
#if defined(__AVX512F__)
  // The masked form: the plain one trips g++ 12's own warning about uninitialised values.
  return _mm512_maskz_max_ps(0xffff, a, b);
#else
  return a > b ? a : b;
#endif
}
TESSERA_INLINE Vector<double> larger(Vector<double> a, Vector<double> b) { return a > b ? a : b; }

/// Rounded to nearest, ties to even; a NaN stays one.
TESSERA_INLINE void narrow(bfloat16* to, const Vector<float>& value) {
#if defined(__AVX512BF16__)
  const __m256bh halves = _mm512_maskz_cvtneps_pbh(0xffff, value);
#else
  const auto bits = cast<std::uint32_t>(value);
  const Vector<std::uint32_t> rounded = (bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16;
  const Vector<std::uint32_t> quiet = (bits >> 16) | 0x40U;
  const auto halves =
      __builtin_convertvector((bits & 0x7fffffffU) > 0x7f800000U ? quiet : rounded, Vector<std::uint16_t>);
#endif
  __builtin_memcpy(to, &halves, sizeof(halves));
}
TESSERA_INLINE void narrow(float* to, const Vector<float>& value) { store(to, value); }
TESSERA_INLINE void narrow(double* to, const Vector<double>& value) { store(to, value); }

/// `count` elements (at most a vector) of value, in storage type S.
template <class S>
TESSERA_INLINE void store_some(S* to, const Vector<arithmetic_t<S>>& value, std::size_t count) {
  if (count >= lanes<arithmetic_t<S>>) {
    narrow(to, value);
  } else {
    for (std::size_t i = 0; i < count; ++i) to[i] = S(value[i]);
  }
}

}  // namespace tessera::compute
