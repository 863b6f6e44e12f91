// Caption conditioner "attention-pooled": caption projection, one self-attention block over the caption, and
// its mean as a pooled vector (MicroDiT). Every position takes part, padding included.

#include "nn/attention.hpp"
#include "nn/mlp.hpp"
#include "ops/residual.hpp"
#include "ops/tokens.hpp"
#include "plugin/abi.hpp"
#include "plugin/slots/caption_conditioner.hpp"

namespace tessera {
namespace {

/// Pre-norm self-attention and SwiGLU over the caption; the identity at initialisation.
class CaptionBlock : public nn::Module {
 public:
  CaptionBlock(const CaptionConditioner::Spec& spec, std::int64_t multiple_of)
      : norm1_(spec.width, true, spec.norm_eps),
        attention_({.width = spec.width,
                    .qkv_width = spec.width,
                    .head_dim = spec.head_dim,
                    .bias = spec.bias,
                    .norm_each_head = spec.norm_each_head,
                    .norm_eps = spec.norm_eps,
                    .output = nn::Initializer::constant(0)}),
        norm2_(spec.width, true, spec.norm_eps),
        mlp_(spec.width, 4.0, multiple_of, spec.bias, nn::Initializer::normal(0.02),
             nn::Initializer::normal(0.02), nn::Initializer::constant(0)) {
    add_child("norm1", norm1_);
    add_child("attn", attention_);
    add_child("norm2", norm2_);
    add_child("mlp", mlp_);
  }
  ops::Variable forward(const ops::Variable& captions) const {
    const ops::Variable attended = ops::residual(captions, attention_.forward(norm1_.forward(captions)));
    return ops::residual(attended, mlp_.forward(norm2_.forward(attended)));
  }

 private:
  nn::LayerNorm norm1_;
  nn::SelfAttention attention_;
  nn::LayerNorm norm2_;
  nn::SwiGlu mlp_;
};

class AttentionPooled : public CaptionConditioner {
 public:
  AttentionPooled(const Config& config, const Spec& spec)
      : caption_width_(spec.caption_width),
        projection_(spec.caption_width, spec.width, spec.norm_eps),
        block_(spec, config.get<std::int64_t>("multiple_of")),
        pooled_(spec.width, spec.width, spec.norm_eps) {
    add_child("y_embedder.y_proj", projection_);
    add_child("y_emb_preprocess", block_);
    add_child("pooled_y_emb_process", pooled_);
  }

  Output forward(const CaptionFeatures& captions) const override {
    const ops::Variable context = block_.forward(projection_.forward(captions.features));
    return {{context, {}}, pooled_.forward(ops::mean_tokens(context, precision().residual))};
  }
  std::vector<float> null_features(std::int64_t length) const override {
    return std::vector<float>(static_cast<std::size_t>(length * caption_width_), 0.0F);
  }
  bool needs_all_positions() const override { return true; }

 private:
  std::int64_t caption_width_;
  nn::CaptionMlp projection_;
  CaptionBlock block_;
  nn::CaptionMlp pooled_;
};

void list(std::vector<Component>& out) {
  Schema schema("attention-pooled", "Caption projection, one attention block, and a pooled vector");
  schema.integer("multiple_of", 256)
      .at_least(1)
      .help("The block's hidden width is rounded up to a multiple of this.");
  out.push_back(component<CaptionConditioner>(
      std::move(schema), [](const Config& config, const CaptionConditioner::Spec& spec, Assembly&) {
        return std::make_unique<AttentionPooled>(config, spec);
      }));
}

}  // namespace
}  // namespace tessera

TESSERA_PLUGIN("caption_attention", "1.0", tessera::list)
