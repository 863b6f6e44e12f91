#pragma once
// Invariant: queries and keys may be normalised as they enter the attention; the projections are used packed,
// as the linear layers leave them.

#include "ops/graph.hpp"

namespace tessera::ops {

struct AttentionOptions {
  std::int64_t heads = 1;
  /// LayerNorm without parameters over the full width of q and of k, all heads jointly (MicroDiT).
  bool normalise_qk = false;
  double norm_eps = 1e-6;
  bool norm_each_head = false;  ///< normalise every head by itself instead
};

/// Self-attention on packed projections qkv [batch, tokens, 3*width] (q, k, v thirds, each heads x head_dim);
/// returns [batch, tokens, width]. Scores are scaled by 1/sqrt(head_dim).
[[nodiscard]] Variable self_attention(const Variable& qkv, const AttentionOptions& options);

/// Cross-attention of q [batch, tokens, width] on kv [batch, context, 2*width] (k, then v); [batch, tokens,
/// width]. With offsets, batch + 1 numbers, kv is [total, 2*width] and image b attends to the rows
/// [offsets[b], offsets[b + 1]), at least one.
[[nodiscard]] Variable cross_attention(const Variable& q, const Variable& kv,
                                       const std::vector<std::int64_t>& offsets,
                                       const AttentionOptions& options);

}  // namespace tessera::ops
