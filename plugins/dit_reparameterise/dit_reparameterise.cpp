// Hand-over "dit-reparameterise": a DiT with a modulation map per block becomes a model whose blocks share
// one map and add a table each (PixArt-alpha, section 2.3), so that weights trained on classes serve
// captions. At one noise level the new model modulates exactly as the DiT did without its class.

#include <algorithm>
#include <array>

#include "base/error.hpp"
#include "plugin/abi.hpp"
#include "plugin/slots/hand_over.hpp"
#include "reparameterise.hpp"

namespace tessera {
namespace {

/// Settings of the backbone that change what the copied tensors compute.
constexpr std::array<const char*, 7> shared_settings{
    "patch", "head_dim", "norm_eps", "normalise_qk", "qk_norm_over", "noise_activation", "norm_gain"};
/// Parts that must come from the DiT, by the beginnings of their names.
constexpr std::array<const char*, 3> required_parts{"x_embedder.", "t_embedder.", "final_layer.linear."};
constexpr std::array<const char*, 2> required_parts_of_blocks{".attn.", ".mlp."};

std::string map_of(const std::string& owner) { return owner + ".adaLN_modulation.1"; }
std::string block(std::int64_t i) { return "blocks." + std::to_string(i); }

/// A single setting as a tree, which compares.
ConfigTree setting(const ModelOutline& model, const std::string& key) {
  ConfigNode root;
  const ConfigTree backbone = model.tables.table("backbone");
  if (const ConfigNode* node = backbone.root().find(key)) {
    std::get<ConfigNode::Table>(root.value).emplace_back(key, *node);
  }
  return ConfigTree(std::move(root));
}

bool required(const std::string& parameter) {
  const auto begins = [&](const char* part) { return parameter.starts_with(part); };
  const auto holds = [&](const char* part) { return parameter.find(part) != std::string::npos; };
  return std::ranges::any_of(required_parts, begins) ||
         (parameter.starts_with("blocks.") && std::ranges::any_of(required_parts_of_blocks, holds));
}

class DitReparameterise : public HandOver {
 public:
  explicit DitReparameterise(double timestep) : timestep_(timestep) {}

  std::vector<TensorRule> rules(const ModelOutline& from, const ModelOutline& to) const override;

 private:
  double timestep_;
};

void check_models(const ModelOutline& from, const ModelOutline& to) {
  const auto modulation = [](const ModelOutline& model) { return model.tables.table("modulation"); };
  if (modulation(from).get_string("name", "") != "adaln" ||
      modulation(to).get_string("name", "") != "adaln-single") {
    throw Error("the modulation of the old model is '" + modulation(from).get_string("name", "") +
                    "' and that of the new one '" + modulation(to).get_string("name", "") +
                    "', but it leads from 'adaln' to 'adaln-single'",
                {}, "Name these in [model.modulation] and [stage.model.modulation], or another hand-over.");
  }
  if (modulation(from).get_string("activation", "") != "silu") {
    throw Error("the old model's modulation has another activation than SiLU, which 'adaln-single' has", {},
                "Train the DiT with [model.modulation] activation = \"silu\".");
  }
  for (const char* key : shared_settings) {
    if (setting(from, key) == setting(to, key)) continue;
    throw Error("the two models differ in [model.backbone] " + std::string(key) + " (" +
                    setting(from, key).to_toml() + "and " + setting(to, key).to_toml() + ")",
                {}, "Give both the same value.");
  }
}

/// The number of blocks of a model whose blocks all have this parameter.
std::int64_t depth_of(const ModelOutline& model, const std::string& parameter) {
  std::int64_t depth = 0;
  while (model.find(block(depth) + "." + parameter) != nullptr) ++depth;
  return depth;
}

void check_depths(const ModelOutline& from, const ModelOutline& to) {
  const std::int64_t before = depth_of(from, "adaLN_modulation.1.weight");
  const std::int64_t after = depth_of(to, "scale_shift_table");
  if (before == after && before > 0) return;
  throw Error("the old model has " + std::to_string(before) + " blocks, the new one " + std::to_string(after),
              {}, "Give both the same [model.backbone] depth.");
}

std::vector<TensorRule> DitReparameterise::rules(const ModelOutline& from, const ModelOutline& to) const {
  check_models(from, to);
  check_depths(from, to);
  std::vector<TensorRule> rules = copies_of_equals(from, to);
  // What starts at zero is no copy, even where the DiT has a tensor of this name.
  std::erase_if(rules, [](const TensorRule& rule) {
    return rule.target.find(".cross_attn.proj.") != std::string::npos;
  });
  for (const auto& [name, shape] : to.parameters) {
    const bool copied =
        std::ranges::any_of(rules, [&](const TensorRule& rule) { return rule.target == name; });
    if (!required(name) || copied) continue;
    const Shape* before = from.find(name);
    throw Error("the tensor '" + name + "' is " + shape.to_string() + " in the new model and " +
                    (before == nullptr ? "missing" : before->to_string()) + " in the old one",
                {}, "Give both models the same [model.backbone] and [model.feed_forward].");
  }
  for (const char* kind : {".weight", ".bias"}) {
    rules.push_back({std::string("t_block.1") + kind, {map_of(block(0)) + kind}, {}});
  }
  const ModulationAt at{timestep_, *from.find(noise_weights()[0]), *from.find(map_of(block(0)) + ".weight")};
  for (const auto& [name, shape] : to.parameters) {
    if (name.find(".cross_attn.proj.") != std::string::npos || name == "blocks.0.scale_shift_table") {
      const auto count = static_cast<std::size_t>(shape.numel());
      rules.push_back({name, {}, [count](const auto&) { return std::vector<double>(count, 0.0); }});
    } else if (name.ends_with(".scale_shift_table")) {
      const std::string owner = name.substr(0, name.rfind('.'));
      std::vector<std::string> sources = noise_weights();
      for (const char* kind : {".weight", ".bias"}) sources.push_back(map_of(owner) + kind);
      const bool is_final = owner == "final_layer";
      for (const char* kind : {".weight", ".bias"}) {
        if (!is_final) sources.push_back(map_of(block(0)) + kind);
      }
      rules.push_back({name, std::move(sources), [at, is_final](const auto& values) {
                         return is_final ? at.final_table(values) : at.block_table(values);
                       }});
    }
  }
  return rules;
}

void list(std::vector<Component>& out) {
  Schema schema(
      "dit-reparameterise",
      "From DiT (adaln) to PixArt-alpha (adaln-single): tables that give the same modulation at one "
      "noise level");
  schema.number("timestep", 500)
      .range(0, 1e6)
      .help("The noise level, as the noise embedding reads it, where both models modulate alike.");
  out.push_back(
      component<HandOver>(std::move(schema), [](const Config& config, const HandOver::Spec&, Assembly&) {
        return std::make_unique<DitReparameterise>(config.get<double>("timestep"));
      }));
}

}  // namespace
}  // namespace tessera

TESSERA_PLUGIN("dit_reparameterise", "1.0", tessera::list)
