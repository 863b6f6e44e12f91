// PixArt-alpha's config_json as a configuration of plugins.

#include "reference_model.hpp"

namespace tessera::parity {

using nlohmann::json;

ConfigTree pixart_configuration(const json& config) {
  const json& model = config.at("model");
  const auto width = model.at("hidden_size").get<std::int64_t>();
  const auto name = [](const char* value) { return FieldValue(std::string(value)); };
  const std::vector<double> one{1.0};

  ConfigTree tree;
  tree.set("backbone.name", name("dit"));
  tree.set("backbone.width", FieldValue(width));
  tree.set("backbone.depth", FieldValue(model.at("depth").get<std::int64_t>()));
  tree.set("backbone.head_dim", FieldValue(width / model.at("num_heads").get<std::int64_t>()));
  tree.set("backbone.patch", FieldValue(model.at("patch_size").get<std::int64_t>()));
  tree.set("backbone.qkv_ratios", FieldValue(one));
  tree.set("backbone.mlp_ratios", FieldValue(std::vector<double>{model.at("mlp_ratio").get<double>()}));
  tree.set("backbone.experts_every", FieldValue(std::int64_t{0}));
  tree.set("backbone.bias", FieldValue(true));
  for (const char* off : {"norm_gain", "normalise_qk", "cross_norm"}) {
    tree.set(std::string("backbone.") + off, FieldValue(false));
  }
  tree.set("backbone.noise_frequencies", FieldValue(std::int64_t{256}));
  tree.set("backbone.noise_activation", name("silu"));
  tree.set("backbone.learned_variance", FieldValue(model.at("pred_sigma").get<bool>()));
  tree.set("backbone.initialisation", name("xavier"));
  tree.set("feed_forward.name", name("gelu-mlp"));
  tree.set("modulation.name", name("adaln-single"));
  tree.set("caption.name", name("projection"));
  tree.set("auxiliary.name",
           name(config.at("class").get<std::string>() == "PixArtMS" ? "size-aspect" : "none"));
  if (config.contains("controlnet")) {
    tree.set("adapter.name", name("controlnet"));
    tree.set("adapter.wiring", name("chain"));
    tree.set("adapter.blocks", FieldValue(config.at("controlnet").at("copy_blocks_num").get<std::int64_t>()));
  }
  return tree;
}

PositionGrid pixart_positions(const json& config) {
  const json& model = config.at("model");
  return {.scale = model.at("lewei_scale").get<double>(),
          .base = model.at("input_size").get<std::int64_t>() / model.at("patch_size").get<std::int64_t>()};
}

}  // namespace tessera::parity
