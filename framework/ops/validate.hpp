#pragma once
// Invariant: the text of a failed check is built only when it fails, so that checks cost nothing in a step.

#include <string>

#include "tensor/tensor.hpp"

namespace tessera::ops {

/// @throws Error "operation: rule, got a" when `holds` is false.
inline void require(bool holds, const char* operation, const char* rule, const Shape& a) {
  if (!holds) throw Error(std::string(rule) + "; got " + a.to_string(), operation);
}
/// @throws Error "operation: rule, got a and b" when `holds` is false.
inline void require(bool holds, const char* operation, const char* rule, const Shape& a, const Shape& b) {
  if (!holds) throw Error(std::string(rule) + "; got " + a.to_string() + " and " + b.to_string(), operation);
}
/// @throws Error when the tensor is not float32, float64 or bfloat16.
inline void require_floating(const Tensor& tensor, const char* operation) {
  if (!is_floating(tensor.dtype())) {
    throw Error(std::string("needs a floating type, not ") + name_of(tensor.dtype()), operation);
  }
}

}  // namespace tessera::ops
