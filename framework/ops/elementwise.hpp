#pragma once
// Invariant: element i of the result depends on element i of the inputs only; arithmetic is in float32 for
// bfloat16 inputs.

#include "ops/graph.hpp"

namespace tessera::ops {

[[nodiscard]] Variable gelu_tanh(const Variable& x);
[[nodiscard]] Variable gelu_erf(const Variable& x);
[[nodiscard]] Variable silu(const Variable& x);
/// silu(gate) * value (Shazeer 2020); both of one shape and type.
[[nodiscard]] Variable swiglu(const Variable& gate, const Variable& value);
/// a + b in a's type; the shapes are equal.
[[nodiscard]] Variable add(const Variable& a, const Variable& b);
/// factor * x in x's type.
[[nodiscard]] Variable scale(const Variable& x, double factor);
/// The same values in another floating type; x itself when it has that type.
[[nodiscard]] Variable cast(const Variable& x, DType type);
/// The same elements under another shape.
[[nodiscard]] Variable reshape(const Variable& x, const Shape& shape);
/// y[b, ...] = a[b] * x[b, ...] + c[b] * z[b, ...] with constants a, c [batch] (float32 or float64) and a
/// constant z; y has z's type. EDM's D = c_out F + c_skip z.
[[nodiscard]] Variable scale_add_per_image(const Variable& x, const Tensor& a, const Tensor& z,
                                           const Tensor& c);

}  // namespace tessera::ops
