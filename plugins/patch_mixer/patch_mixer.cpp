// Patch mixer "patch-mixer": a few transformer blocks over all tokens, of their own width, so that the tokens
// that survive masking carry information about those that do not (MicroDiT section 3).

#include "plugin/slots/patch_mixer.hpp"

#include "nn/layers.hpp"
#include "ops/elementwise.hpp"
#include "plugin/abi.hpp"
#include "plugin/block_stack.hpp"

namespace tessera {
namespace {

/// LayerNorm and a linear map between the widths of backbone and mixer ("0" and "1").
class WidthMap : public nn::Module {
 public:
  WidthMap(std::int64_t in, std::int64_t out, const BlockSpec& block)
      : norm_(in, block.norm_gain, block.norm_eps),
        map_(in, out, block.bias, nn::Initializer::xavier_uniform()) {
    add_child("0", norm_);
    add_child("1", map_);
  }
  ops::Variable forward(const ops::Variable& x) const {
    return map_.forward(norm_.forward(x), precision().residual);
  }

 private:
  nn::LayerNorm norm_;
  nn::Linear map_;
};

class Mixer : public PatchMixer {
 public:
  Mixer(const Config& config, const Spec& spec, Assembly& assembly) {
    const auto depth = config.get<std::int64_t>("depth");
    const auto width = config.get<std::int64_t>("width");
    modulation_ = assembly.make<Modulation>(
        "modulation", {.blocks = depth, .width = width, .condition_width = spec.condition_width});
    StackSpec plan;
    plan.block = spec.block;
    plan.block.width = width;
    plan.condition_width = spec.condition_width;
    plan.qkv_ratios.assign(static_cast<std::size_t>(depth), config.get<double>("qkv_ratio"));
    plan.mlp_ratios.assign(static_cast<std::size_t>(depth), config.get<double>("mlp_ratio"));
    plan.initial.assign(static_cast<std::size_t>(depth), spec.block.initial);
    plan.experts_every = config.get<std::int64_t>("experts_every");
    plan.experts_in_last = config.get<bool>("experts_in_last");
    plan.recompute = spec.recompute;
    blocks_ = std::make_unique<BlockStack>(plan, *modulation_, assembly);
    if (nn::Module* shared = modulation_->shared_parameters()) add_child("patch_mixer_modulation", *shared);
    if (width != spec.width) {
      enter_ = std::make_unique<WidthMap>(spec.width, width, spec.block);
      leave_ = std::make_unique<WidthMap>(width, spec.width, spec.block);
      add_child("patch_mixer_map_xin", *enter_);
      if (spec.block.cross_attention) {
        context_ = std::make_unique<WidthMap>(spec.width, width, spec.block);
        add_child("patch_mixer_map_y", *context_);
      }
    }
    add_child("patch_mixer", *blocks_);
    if (leave_ != nullptr) add_child("patch_mixer_map_xout", *leave_);
  }

  ops::Variable mix(const ops::Variable& tokens, const nn::Context& context,
                    const ops::Variable& condition) const override {
    const ops::Variable entered = enter_ != nullptr ? enter_->forward(tokens) : tokens;
    return blocks_->forward(
        entered,
        context_ != nullptr ? nn::Context{context_->forward(context.tokens), context.offsets} : context,
        modulation_->prepare(condition));
  }
  ops::Variable leave(const ops::Variable& tokens) const override {
    return leave_ != nullptr ? leave_->forward(tokens) : tokens;
  }

 private:
  std::unique_ptr<Modulation> modulation_;
  std::unique_ptr<BlockStack> blocks_;
  std::unique_ptr<WidthMap> enter_;
  std::unique_ptr<WidthMap> leave_;
  std::unique_ptr<WidthMap> context_;
};

void list(std::vector<Component>& out) {
  Schema schema("patch-mixer", "Transformer blocks that see every token before masking");
  schema.integer("depth", 4).range(1, 1024).unit("blocks").help("Number of mixer blocks (Tiny 4, XL 6).");
  schema.integer("width", 512)
      .range(4, 65536)
      .help("Width of the mixer; with the backbone's width no maps in and out are needed.");
  schema.number("qkv_ratio", 1.0).range(0.01, 16).help("Attention width as a multiple of the mixer's width.");
  schema.number("mlp_ratio", 4.0)
      .range(0.01, 64)
      .help("Feed-forward width as a multiple of the mixer's width.");
  // The paper puts experts into the backbone only; the published model has them in the mixer too, and only
  // so reaches 1.16 B parameters.
  schema.integer("experts_every", 2).range(0, 1024).help("Every n-th block has experts; 0 for none.");
  schema.boolean("experts_in_last", true).help("Whether the mixer's last block may have experts.");
  out.push_back(component<PatchMixer>(
      std::move(schema), [](const Config& config, const PatchMixer::Spec& spec, Assembly& assembly) {
        return std::make_unique<Mixer>(config, spec, assembly);
      }));
}

}  // namespace
}  // namespace tessera

TESSERA_PLUGIN("patch_mixer", "1.0", tessera::list)
