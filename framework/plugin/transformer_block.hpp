#pragma once
// Invariant: one block serves every stack (mixer, backbone) and both recipes; what differs comes from the
// feed-forward and modulation slots and from BlockSpec.

#include <memory>
#include <optional>

#include "nn/attention.hpp"
#include "plugin/slots/feed_forward.hpp"
#include "plugin/slots/modulation.hpp"

namespace tessera {

/// Initial values of a block's matrices.
struct BlockInitializers {
  nn::Initializer input = nn::Initializer::normal(0.02);   ///< into attention and feed-forward
  nn::Initializer output = nn::Initializer::normal(0.02);  ///< from self-attention and feed-forward back
  nn::Initializer cross_output = nn::Initializer::normal(0.02);  ///< from cross-attention back
};

struct BlockSpec {
  std::int64_t width = 0;
  std::int64_t qkv_width = 0;  ///< of self-attention; cross-attention always uses `width`
  std::int64_t head_dim = 0;
  bool bias = false;            ///< of attention
  bool norm_gain = true;        ///< of the LayerNorms
  bool normalise_qk = true;     ///< in both attentions
  bool norm_each_head = false;  ///< that head by head, not over all heads jointly
  bool cross_attention = true;  ///< false for a model without captions
  bool cross_norm = true;       ///< a LayerNorm before cross-attention
  double norm_eps = 1e-6;
  BlockInitializers initial = {};
};

/// Layer-wise scaling (recipes: "qkv width h"): width when the ratio is 1, else the smallest multiple of
/// 2*head_dim that is at least int(width*ratio).
[[nodiscard]] std::int64_t scaled_qkv_width(std::int64_t width, double ratio, std::int64_t head_dim);

/// x += gate * SelfAttn(mod(norm1 x)); x += CrossAttn(norm2 x, context); x += gate * FF(mod(norm3 x)), where
/// the spec may leave out norm2 or the whole second step.
class TransformerBlock : public nn::Module {
 public:
  /// @param modulation  serves this block as number `index`; outlives it
  TransformerBlock(const BlockSpec& spec, std::unique_ptr<FeedForward> feed_forward, Modulation& modulation,
                   std::int64_t index);
  /// x [batch, tokens, width] in the residual type; context undefined without cross-attention; prepared: what
  /// Modulation::prepare made.
  [[nodiscard]] ops::Variable forward(const ops::Variable& x, const nn::Context& context,
                                      const ops::Variable& prepared) const;

 private:
  nn::LayerNorm norm1_;
  nn::SelfAttention attention_;
  std::optional<nn::LayerNorm> norm2_;
  std::optional<nn::CrossAttention> cross_attention_;
  nn::LayerNorm norm3_;
  std::unique_ptr<FeedForward> feed_forward_;
  const Modulation* modulation_;
  std::int64_t index_;
};

}  // namespace tessera
