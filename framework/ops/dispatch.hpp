#pragma once
// Invariant: these are the only pairs of element types that an operation with an input and a result of two
// types is compiled for; every other pair is an error that names the operation.

#include <string>
#include <type_traits>

#include "tensor/tensor.hpp"

namespace tessera::ops {

/// Calls `body` with value-initialised elements of both types. The pairs are those of the precision
/// policies: one type throughout, or float32 on one side and bfloat16 on the other.
/// @throws Error naming `operation` on any other pair.
template <class Body>
decltype(auto) dispatch_pair(DType first, DType second, const char* operation, Body&& body) {
  if (first == DType::f32 && second == DType::f32) return body(float{}, float{});
  if (first == DType::f32 && second == DType::bf16) return body(float{}, bfloat16{});
  if (first == DType::bf16 && second == DType::f32) return body(bfloat16{}, float{});
  if (first == DType::bf16 && second == DType::bf16) return body(bfloat16{}, bfloat16{});
  if (first == DType::f64 && second == DType::f64) return body(double{}, double{});
  throw Error(std::string("the types ") + name_of(first) + " and " + name_of(second) + " do not go together",
              operation, "use one type throughout, or float32 with bfloat16");
}

/// The type in which an operation on elements of `type` computes: float32 for bfloat16.
[[nodiscard]] constexpr DType arithmetic_of(DType type) { return type == DType::bf16 ? DType::f32 : type; }

/// Calls `body` with std::true_type or std::false_type: a run-time choice inside a loop keeps g++ from
/// vectorising it.
template <class Body>
decltype(auto) dispatch_flag(bool flag, Body&& body) {
  return flag ? body(std::true_type{}) : body(std::false_type{});
}

/// destination = value, or destination += value in the arithmetic type A.
template <bool add, class A, class T>
KOKKOS_INLINE_FUNCTION void put(T& destination, A value) {
  if constexpr (add) {
    destination = T(static_cast<A>(destination) + value);
  } else {
    destination = T(value);
  }
}

}  // namespace tessera::ops
