#pragma once
// Invariant: weights are stored [out, in], so that a row of the weight is one output feature.

#include "ops/graph.hpp"

namespace tessera::ops {

/// y[..., out] = x[..., in] weight[out, in]^T + bias[out]; bias may be undefined. The result has
/// `result_type`, by default x's. The weight has x's type; the bias any floating type.
[[nodiscard]] Variable linear(const Variable& x, const Variable& weight, const Variable& bias);
[[nodiscard]] Variable linear(const Variable& x, const Variable& weight, const Variable& bias,
                              DType result_type);

/// y[g, ..., out] = x[g, ..., in] weight[g, in, out]: one product per group (expert).
[[nodiscard]] Variable grouped_linear(const Variable& x, const Variable& weight);

}  // namespace tessera::ops
