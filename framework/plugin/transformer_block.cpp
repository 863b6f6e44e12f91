#include "plugin/transformer_block.hpp"

#include "nn/mlp.hpp"
#include "ops/residual.hpp"

namespace tessera {
namespace {

nn::AttentionSpec attention_spec(const BlockSpec& spec, std::int64_t qkv_width,
                                 const nn::Initializer& output) {
  return {.width = spec.width,
          .qkv_width = qkv_width,
          .head_dim = spec.head_dim,
          .bias = spec.bias,
          .normalise_qk = spec.normalise_qk,
          .norm_each_head = spec.norm_each_head,
          .norm_eps = spec.norm_eps,
          .input = spec.initial.input,
          .output = output};
}

}  // namespace

std::int64_t scaled_qkv_width(std::int64_t width, double ratio, std::int64_t head_dim) {
  if (ratio == 1.0) return width;
  return nn::round_up(static_cast<std::int64_t>(static_cast<double>(width) * ratio), 2 * head_dim);
}

TransformerBlock::TransformerBlock(const BlockSpec& spec, std::unique_ptr<FeedForward> feed_forward,
                                   Modulation& modulation, std::int64_t index)
    : norm1_(spec.width, spec.norm_gain, spec.norm_eps),
      attention_(attention_spec(spec, spec.qkv_width, spec.initial.output)),
      norm3_(spec.width, spec.norm_gain, spec.norm_eps),
      feed_forward_(std::move(feed_forward)),
      modulation_(&modulation),
      index_(index) {
  add_child("", modulation.block_parameters(index));
  add_child("norm1", norm1_);
  add_child("attn", attention_);
  if (spec.cross_attention) {
    if (spec.cross_norm) add_child("norm2", norm2_.emplace(spec.width, spec.norm_gain, spec.norm_eps));
    add_child("cross_attn",
              cross_attention_.emplace(attention_spec(spec, spec.width, spec.initial.cross_output)));
  }
  add_child("norm3", norm3_);
  add_child("mlp", *feed_forward_);
}

ops::Variable TransformerBlock::forward(const ops::Variable& x, const nn::Context& context,
                                        const ops::Variable& prepared) const {
  const ops::Variable vectors = modulation_->block_vectors(prepared, index_);
  const ops::Variable attended = attention_.forward(
      norm1_.modulated(x, vectors, Modulation::shift_attention, Modulation::scale_attention));
  ops::Variable stream = ops::gated_residual(x, attended, vectors, Modulation::gate_attention);
  if (cross_attention_) {
    const ops::Variable queries = norm2_ ? norm2_->forward(stream) : stream;
    stream = ops::residual(stream, cross_attention_->forward(queries, context));
  }
  const ops::Variable fed =
      feed_forward_->forward(norm3_.modulated(stream, vectors, Modulation::shift_mlp, Modulation::scale_mlp));
  return ops::gated_residual(stream, fed, vectors, Modulation::gate_mlp);
}

}  // namespace tessera
