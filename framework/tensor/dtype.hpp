#pragma once
// Invariant: a DType fixes the size and the meaning of an element; f16 exists for storage only, and every
// conversion to a shorter float rounds to nearest, ties to even.

#include <cstddef>
#include <cstdint>
#include <string>

#include "base/device_function.hpp"
#include "base/error.hpp"

namespace tessera {

enum class DType : std::uint8_t { f32, f64, bf16, i32, i64, u8 };

/// The upper half of a float32: 8 exponent bits, 7 mantissa bits.
struct bfloat16 {
  std::uint16_t bits;

  bfloat16() = default;
  TESSERA_INLINE_FUNCTION explicit bfloat16(float value) {
    std::uint32_t u;
    static_assert(sizeof(u) == sizeof(value));
    __builtin_memcpy(&u, &value, sizeof(u));
    // Rounding may carry into the exponent, which is right; a NaN must not be rounded to infinity.
    const std::uint32_t rounded = (u + 0x7fffU + ((u >> 16) & 1U)) >> 16;
    const bool nan = (u & 0x7fffffffU) > 0x7f800000U;
    bits = static_cast<std::uint16_t>(nan ? ((u >> 16) | 0x40U) : rounded);
  }
  TESSERA_INLINE_FUNCTION explicit operator float() const {
    const std::uint32_t u = static_cast<std::uint32_t>(bits) << 16;
    float value;
    __builtin_memcpy(&value, &u, sizeof(value));
    return value;
  }
  TESSERA_INLINE_FUNCTION explicit operator double() const {
    return static_cast<double>(static_cast<float>(*this));
  }
};

[[nodiscard]] constexpr std::size_t size_of(DType type) {
  switch (type) {
    case DType::f32:
    case DType::i32:
      return 4;
    case DType::f64:
    case DType::i64:
      return 8;
    case DType::bf16:
      return 2;
    case DType::u8:
      return 1;
  }
  return 0;
}

[[nodiscard]] constexpr bool is_floating(DType type) {
  return type == DType::f32 || type == DType::f64 || type == DType::bf16;
}

[[nodiscard]] constexpr const char* name_of(DType type) {
  switch (type) {
    case DType::f32:
      return "float32";
    case DType::f64:
      return "float64";
    case DType::bf16:
      return "bfloat16";
    case DType::i32:
      return "int32";
    case DType::i64:
      return "int64";
    case DType::u8:
      return "uint8";
  }
  return "unknown";
}

template <class T>
struct DTypeOf;
template <>
struct DTypeOf<float> {
  static constexpr DType value = DType::f32;
};
template <>
struct DTypeOf<double> {
  static constexpr DType value = DType::f64;
};
template <>
struct DTypeOf<bfloat16> {
  static constexpr DType value = DType::bf16;
};
template <>
struct DTypeOf<std::int32_t> {
  static constexpr DType value = DType::i32;
};
template <>
struct DTypeOf<std::int64_t> {
  static constexpr DType value = DType::i64;
};
template <>
struct DTypeOf<std::uint8_t> {
  static constexpr DType value = DType::u8;
};
template <class T>
inline constexpr DType dtype_of = DTypeOf<T>::value;

/// The type in which an element of storage type T takes part in arithmetic: float for bfloat16.
template <class T>
struct Arithmetic {
  using type = T;
};
template <>
struct Arithmetic<bfloat16> {
  using type = float;
};
template <class T>
using arithmetic_t = typename Arithmetic<T>::type;

/// Calls `body` with a value-initialised element of the type that `type` names; the one place where a
/// run-time element type becomes a compile-time one.
/// @throws Error when `type` is not a floating type.
template <class Body>
decltype(auto) dispatch_floating(DType type, Body&& body) {
  switch (type) {
    case DType::f32:
      return body(float{});
    case DType::f64:
      return body(double{});
    case DType::bf16:
      return body(bfloat16{});
    default:
      throw Error(std::string("the operation needs a floating type, not ") + name_of(type));
  }
}

}  // namespace tessera
