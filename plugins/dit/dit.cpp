#include "dit.hpp"

#include <cmath>

#include "ops/accumulate.hpp"
#include "ops/elementwise.hpp"
#include "ops/tokens.hpp"

namespace tessera {
namespace {

std::vector<double> ratios(const Config& config, const std::string& name) {
  const auto depth = config.get<std::int64_t>("depth");
  const auto& listed = config.get<std::vector<double>>(name + "_ratios");
  if (!listed.empty()) return spread(listed, depth);
  return ramp(config.get<double>(name + "_ratio_first"), config.get<double>(name + "_ratio_last"), depth);
}

/// How the blocks' matrices start. "scaled" (MicroDiT): outputs shrink with depth. "xavier" (DiT,
/// PixArt-alpha): by the fans, and captions do not act at first.
std::vector<BlockInitializers> initializers(const Config& config) {
  const auto depth = config.get<std::int64_t>("depth");
  const nn::Initializer xavier = nn::Initializer::xavier_uniform();
  std::vector<BlockInitializers> all(static_cast<std::size_t>(depth),
                                     {xavier, xavier, nn::Initializer::constant(0)});
  if (config.get<std::string>("initialisation") == "xavier") return all;
  for (std::size_t i = 0; i < all.size(); ++i) {
    const auto output = nn::Initializer::normal(0.02 / std::sqrt(2.0 * static_cast<double>(i + 1)));
    all[i] = {nn::Initializer::normal(0.02), output, output};
  }
  return all;
}

bool norm_each_head(const Config& config) { return config.get<std::string>("qk_norm_over") == "each-head"; }

StackSpec plan_of(const Config& config, bool captions) {
  StackSpec plan;
  plan.condition_width = config.get<std::int64_t>("width");
  plan.block = {.width = config.get<std::int64_t>("width"),
                .head_dim = config.get<std::int64_t>("head_dim"),
                .bias = config.get<bool>("bias"),
                .norm_gain = config.get<bool>("norm_gain"),
                .normalise_qk = config.get<bool>("normalise_qk"),
                .norm_each_head = norm_each_head(config),
                .cross_attention = captions,
                .cross_norm = config.get<bool>("cross_norm"),
                .norm_eps = config.get<double>("norm_eps")};
  plan.qkv_ratios = ratios(config, "qkv");
  plan.mlp_ratios = ratios(config, "mlp");
  plan.initial = initializers(config);
  plan.experts_every = config.get<std::int64_t>("experts_every");
  plan.experts_in_last = config.get<bool>("experts_in_last");
  plan.recompute = config.get<bool>("recompute");
  return plan;
}

BlockSpec last_block(const StackSpec& plan) {
  BlockSpec block = plan.block;
  block.initial = plan.initial.back();
  return block;
}

}  // namespace

FinalLayer::FinalLayer(const BlockSpec& block, std::int64_t values, Modulation& modulation)
    : norm_(block.width, block.norm_gain, block.norm_eps),
      linear_(block.width, values, true, nn::Initializer::constant(0), {.exact = true}) {
  if (nn::Module* parameters = modulation.final_parameters()) add_child("", *parameters);
  add_child("norm_final", norm_);
  add_child("linear", linear_);
}

ops::Variable FinalLayer::forward(const ops::Variable& x, const ops::Variable& vectors) const {
  return linear_.forward_exact(norm_.modulated(x, vectors, 0, 1));
}

Dit::Dit(const Config& config, const Spec& spec, Assembly& assembly)
    : channels_(spec.channels),
      output_channels_(config.get<bool>("learned_variance") ? 2 * channels_ : channels_),
      width_(config.get<std::int64_t>("width")),
      patch_(config.get<std::int64_t>("patch")),
      position_grid_{.scale = config.get<double>("position_scale")},
      patch_embedding_(channels_, width_, patch_, config.get<std::string>("patch_bias") == "uniform"),
      noise_embedding_(config.get<std::int64_t>("noise_frequencies"), width_,
                       config.get<std::string>("noise_activation") == "silu"
                           ? nn::ScalarEmbedding::Activation::silu
                           : nn::ScalarEmbedding::Activation::gelu_tanh) {
  if (!assembly.configuration().has("caption")) {
    throw Error("the configuration does not say how the model reads captions", "[model.caption]",
                "name a caption conditioner, or \"none\" for a model without captions");
  }
  captions_ =
      assembly.make_optional<CaptionConditioner>("caption", {.caption_width = spec.caption_width,
                                                             .caption_length = spec.caption_length,
                                                             .width = width_,
                                                             .head_dim = config.get<std::int64_t>("head_dim"),
                                                             .bias = config.get<bool>("bias"),
                                                             .norm_each_head = norm_each_head(config),
                                                             .norm_eps = config.get<double>("norm_eps")});
  auxiliary_ = assembly.make_optional<AuxiliaryConditioner>("auxiliary", {.width = width_});
  const StackSpec plan = plan_of(config, captions_ != nullptr);
  mixer_ = assembly.make_optional<PatchMixer>(
      "patch_mixer",
      {.width = width_, .condition_width = width_, .block = last_block(plan), .recompute = plan.recompute});
  const auto depth = static_cast<std::int64_t>(plan.qkv_ratios.size());
  modulation_ = assembly.make<Modulation>(
      "modulation", {.blocks = depth, .width = width_, .condition_width = width_, .final_layer = true});
  blocks_ = std::make_unique<BlockStack>(plan, *modulation_, assembly);
  final_layer_ = std::make_unique<FinalLayer>(plan.block, patch_ * patch_ * output_channels_, *modulation_);

  add_child("x_embedder", patch_embedding_);
  add_child("t_embedder", noise_embedding_);
  if (auxiliary_ != nullptr) add_child("", *auxiliary_);
  if (captions_ != nullptr) add_child("", *captions_);
  if (mixer_ != nullptr) add_child("", *mixer_);
  if (nn::Module* shared = modulation_->shared_parameters()) add_child("", *shared);
  add_child("blocks", *blocks_);
  add_child("final_layer", *final_layer_);
}

void Dit::set_positions(const PositionGrid& grid) {
  position_grid_ = grid;
  positions_.clear();
}

Tensor Dit::positions(std::int64_t rows, std::int64_t columns) const {
  const Shape shape{rows * columns, width_};
  if (MetaScope::active()) return Tensor::meta(shape, precision().residual);
  Tensor& table = positions_[{rows, columns}];
  if (!table.defined() || table.dtype() != precision().residual) {
    const Tensor rounded = Tensor::from_host(
        nn::sincos_positions(rows, columns, width_, position_grid_.scale, position_grid_.base), shape);
    table = ops::converted(rounded, precision().residual);
  }
  return table;
}

ops::Variable Dit::control_tokens(const Input& input) const {
  const Tensor& control = input.condition.control;
  if (!control.defined() || !blocks_->has_route()) return {};
  if (!(control.shape() == input.latent.shape())) {
    throw Error("a control map of shape " + control.shape().to_string() +
                " does not suit a latent of shape " + input.latent.shape().to_string());
  }
  const ops::Variable tokens =
      ops::add_positions(patch_embedding_.forward(ops::Variable(control)),
                         positions(control.shape()[2] / patch_, control.shape()[3] / patch_));
  return input.mask == nullptr ? tokens : ops::gather_tokens(tokens, input.mask->keep);
}

ops::Variable Dit::forward(const Input& input) const {
  const Shape& shape = input.latent.shape();
  if (shape.rank() != 4 || shape[1] != channels_ || shape[2] % patch_ != 0 || shape[3] % patch_ != 0) {
    throw Error("a latent of shape " + shape.to_string() + " does not suit a model of " +
                std::to_string(channels_) + " channels and patches of " + std::to_string(patch_));
  }
  const std::int64_t rows = shape[2] / patch_;
  const std::int64_t columns = shape[3] / patch_;

  ops::Variable tokens = ops::add_positions(patch_embedding_.forward(input.latent), positions(rows, columns));
  CaptionConditioner::Output caption;
  if (captions_ != nullptr) caption = captions_->forward(input.condition.captions);
  ops::Variable condition = noise_embedding_.forward(input.noise_level);
  if (auxiliary_ != nullptr) condition = ops::add(condition, auxiliary_->forward(input.condition.facts));
  if (caption.pooled.defined()) condition = ops::add(caption.pooled, condition);

  if (mixer_ != nullptr) tokens = mixer_->mix(tokens, caption.context, condition);
  if (input.mask != nullptr) tokens = ops::gather_tokens(tokens, input.mask->keep);
  if (mixer_ != nullptr) tokens = mixer_->leave(tokens);

  const ops::Variable prepared = modulation_->prepare(condition);
  tokens = blocks_->forward(tokens, caption.context, prepared, control_tokens(input));
  tokens = final_layer_->forward(tokens, modulation_->final_vectors(prepared, condition));
  if (input.mask != nullptr) tokens = ops::restore_tokens(tokens, input.mask->restore);
  return ops::unpatchify(tokens, patch_, rows, columns);
}

}  // namespace tessera
