#pragma once
// Invariant: the residual stream keeps x's type, whatever the branch's.

#include "ops/graph.hpp"

namespace tessera::ops {

/// x + branch.
[[nodiscard]] Variable residual(const Variable& x, const Variable& branch);
/// x + gate[b] * branch, x and branch [batch, tokens, width], gate row `gate` of modulation
/// [batch, vectors, width].
[[nodiscard]] Variable gated_residual(const Variable& x, const Variable& branch, const Variable& modulation,
                                      std::int64_t gate);

}  // namespace tessera::ops
