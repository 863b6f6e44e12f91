// MicroDiT's config_json as a configuration of plugins.

#include "reference_model.hpp"

namespace tessera::parity {

using nlohmann::json;

ConfigTree microdit_configuration(const json& config) {
  const json& model = config.at("model");
  const auto integer = [&](const char* key) { return FieldValue(model.at(key).get<std::int64_t>()); };
  const auto number = [&](const char* key) { return FieldValue(model.at(key).get<double>()); };
  const auto numbers = [&](const char* key) { return FieldValue(model.at(key).get<std::vector<double>>()); };
  const auto name = [](const char* value) { return FieldValue(std::string(value)); };
  const FieldValue bias(model.at("use_bias").get<bool>());

  ConfigTree tree;
  tree.set("backbone.name", name("dit"));
  tree.set("backbone.width", integer("dim"));
  tree.set("backbone.depth", integer("depth"));
  tree.set("backbone.head_dim", integer("head_dim"));
  tree.set("backbone.patch", integer("patch_size"));
  tree.set("backbone.qkv_ratios", numbers("qkv_multipliers"));
  tree.set("backbone.mlp_ratios", numbers("ffn_multipliers"));
  tree.set("backbone.experts_every", integer("experts_every_n"));
  tree.set("backbone.experts_in_last", FieldValue(false));
  tree.set("backbone.qk_norm_over", name("all-heads"));
  tree.set("backbone.bias", bias);
  tree.set("backbone.norm_eps", number("norm_eps"));
  tree.set("backbone.position_scale", number("pos_interp_scale"));
  tree.set("patch_mixer.name", name(model.at("use_patch_mixer").get<bool>() ? "patch-mixer" : "none"));
  if (model.at("use_patch_mixer").get<bool>()) {
    tree.set("patch_mixer.depth", integer("patch_mixer_depth"));
    tree.set("patch_mixer.width", integer("patch_mixer_dim"));
    tree.set("patch_mixer.qkv_ratio", number("patch_mixer_qkv_ratio"));
    tree.set("patch_mixer.mlp_ratio", number("patch_mixer_mlp_ratio"));
    tree.set("patch_mixer.experts_every", integer("experts_every_n"));
    tree.set("patch_mixer.experts_in_last", FieldValue(true));
  }
  tree.set("feed_forward.name", name("swiglu"));
  tree.set("feed_forward.multiple_of", integer("multiple_of"));
  tree.set("feed_forward.bias", bias);
  tree.set("experts.name", name("moe-expert-choice"));
  tree.set("experts.activation", name("gelu"));
  tree.set("experts.experts", integer("num_experts"));
  tree.set("experts.capacity", number("expert_capacity"));
  tree.set("experts.multiple_of", integer("multiple_of"));
  // The recorded run has one learning rate for all parameters.
  tree.set("experts.learning_rate_factor", FieldValue(1.0));
  tree.set("modulation.name", name("adaln"));
  tree.set("caption.name", name("attention-pooled"));
  tree.set("caption.multiple_of", integer("multiple_of"));
  tree.set("objective.name", name("edm"));
  for (const char* key : {"p_mean", "p_std", "sigma_data"}) {
    if (config.contains(key))
      tree.set(std::string("objective.") + key, FieldValue(config.at(key).get<double>()));
  }
  tree.set("sampler.name", name("edm-heun"));
  return tree;
}

}  // namespace tessera::parity
