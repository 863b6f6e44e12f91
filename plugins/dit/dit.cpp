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

StackSpec plan_of(const Config& config) {
  StackSpec plan;
  plan.block = {.width = config.get<std::int64_t>("width"),
                .head_dim = config.get<std::int64_t>("head_dim"),
                .bias = config.get<bool>("bias"),
                .norm_eps = config.get<double>("norm_eps")};
  plan.qkv_ratios = ratios(config, "qkv");
  plan.mlp_ratios = ratios(config, "mlp");
  for (std::size_t i = 0; i < plan.qkv_ratios.size(); ++i) {
    plan.deviations.push_back(0.02 / std::sqrt(2.0 * static_cast<double>(i + 1)));
  }
  plan.experts_every = config.get<std::int64_t>("experts_every");
  plan.experts_in_last = false;
  plan.recompute = config.get<bool>("recompute");
  return plan;
}

}  // namespace

FinalLayer::FinalLayer(std::int64_t width, std::int64_t values, double norm_eps, Modulation& modulation)
    : norm_(width, true, norm_eps), linear_(width, values, true, nn::Initializer::constant(0)) {
  if (nn::Module* parameters = modulation.final_parameters()) add_child("", *parameters);
  add_child("norm_final", norm_);
  add_child("linear", linear_);
}

ops::Variable FinalLayer::forward(const ops::Variable& x, const ops::Variable& vectors) const {
  return linear_.forward_exact(norm_.modulated(x, vectors, 0, 1));
}

Dit::Dit(const Config& config, const Spec& spec, Assembly& assembly)
    : channels_(spec.channels),
      width_(config.get<std::int64_t>("width")),
      patch_(config.get<std::int64_t>("patch")),
      position_grid_{.scale = config.get<double>("position_scale")},
      patch_embedding_(channels_, width_, patch_, config.get<std::string>("patch_bias") == "uniform"),
      noise_embedding_(config.get<std::int64_t>("noise_frequencies"), width_,
                       nn::NoiseEmbedding::Activation::gelu_tanh) {
  const StackSpec plan = plan_of(config);
  captions_ = assembly.make<CaptionConditioner>("caption", {.caption_width = spec.caption_width,
                                                            .caption_length = spec.caption_length,
                                                            .width = width_,
                                                            .head_dim = plan.block.head_dim,
                                                            .bias = plan.block.bias,
                                                            .norm_eps = plan.block.norm_eps});
  const auto depth = static_cast<std::int64_t>(plan.qkv_ratios.size());
  if (assembly.has("patch_mixer")) {
    mixer_ = assembly.make<PatchMixer>("patch_mixer", {.width = width_,
                                                       .condition_width = width_,
                                                       .head_dim = plan.block.head_dim,
                                                       .backbone_depth = depth,
                                                       .bias = plan.block.bias,
                                                       .norm_eps = plan.block.norm_eps,
                                                       .recompute = plan.recompute});
  }
  modulation_ = assembly.make<Modulation>(
      "modulation", {.blocks = depth, .width = width_, .condition_width = width_, .final_layer = true});
  blocks_ = std::make_unique<BlockStack>(plan, *modulation_, assembly);
  final_layer_ =
      std::make_unique<FinalLayer>(width_, patch_ * patch_ * channels_, plan.block.norm_eps, *modulation_);

  add_child("x_embedder", patch_embedding_);
  add_child("t_embedder", noise_embedding_);
  add_child("", *captions_);
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
    const Tensor rounded =
        Tensor::from_host(nn::sincos_positions(rows, columns, width_, position_grid_.scale, position_grid_.base), shape);
    table = ops::converted(rounded, precision().residual);
  }
  return table;
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
  const CaptionConditioner::Output caption = captions_->forward(input.condition.captions);
  ops::Variable condition = noise_embedding_.forward(input.noise_level);
  if (caption.pooled.defined()) condition = ops::add(caption.pooled, condition);

  if (mixer_ != nullptr) tokens = mixer_->mix(tokens, caption.context, condition);
  if (input.mask != nullptr) tokens = ops::gather_tokens(tokens, input.mask->keep);
  if (mixer_ != nullptr) tokens = mixer_->leave(tokens);

  const ops::Variable prepared = modulation_->prepare(condition);
  tokens = blocks_->forward(tokens, caption.context, prepared);
  tokens = final_layer_->forward(tokens, modulation_->final_vectors(prepared, condition));
  if (input.mask != nullptr) tokens = ops::restore_tokens(tokens, input.mask->restore);
  return ops::unpatchify(tokens, patch_, rows, columns);
}

}  // namespace tessera
