#pragma once
// Invariant: the projections are used packed ("qkv": q, k, v thirds; "kv_linear": k, v halves), each third
// being heads x head_dim, as in the published checkpoints.

#include "nn/layers.hpp"
#include "ops/attention.hpp"

namespace tessera::nn {

/// What cross-attention reads: [batch, length, width], or, with offsets, the tokens of all images one after
/// another, [total, width], those of image b being [offsets[b], offsets[b + 1]).
struct Context {
  ops::Variable tokens;
  std::vector<std::int64_t> offsets;  ///< batch + 1 numbers, or empty
};

struct AttentionSpec {
  std::int64_t width = 0;      ///< of the tokens
  std::int64_t qkv_width = 0;  ///< heads * head_dim; may differ from width in self-attention
  std::int64_t head_dim = 0;
  bool bias = false;
  bool normalise_qk = true;     ///< joint LayerNorm without parameters over the whole q and k width
  bool norm_each_head = false;  ///< normalise every head by itself instead
  double norm_eps = 1e-6;
  Initializer input = Initializer::normal(0.02);   ///< of the q, k, v weights
  Initializer output = Initializer::normal(0.02);  ///< of the projection back
};

class SelfAttention : public Module {
 public:
  explicit SelfAttention(const AttentionSpec& spec);
  /// [batch, tokens, width] -> the same.
  [[nodiscard]] ops::Variable forward(const ops::Variable& x) const;

 private:
  ops::AttentionOptions options_;
  Linear qkv_;
  Linear projection_;
};

class CrossAttention : public Module {
 public:
  explicit CrossAttention(const AttentionSpec& spec);
  /// x [batch, tokens, width] -> the same.
  [[nodiscard]] ops::Variable forward(const ops::Variable& x, const Context& context) const;

 private:
  ops::AttentionOptions options_;
  Linear query_;
  Linear key_value_;
  Linear projection_;
};

}  // namespace tessera::nn
