#include "reference_model.hpp"

#include <set>

namespace tessera::parity {
namespace {

using nlohmann::json;

std::vector<double> numbers(const json& list) { return list.get<std::vector<double>>(); }

}  // namespace

ConfigTree configuration_of(const json& config) {
  const json& model = config.at("model");
  const auto integer = [&](const char* key) { return FieldValue(model.at(key).get<std::int64_t>()); };
  const auto number = [&](const char* key) { return FieldValue(model.at(key).get<double>()); };
  const auto name = [](const char* value) { return FieldValue(std::string(value)); };
  const FieldValue bias(model.at("use_bias").get<bool>());

  ConfigTree tree;
  tree.set("backbone.name", name("dit"));
  tree.set("backbone.width", integer("dim"));
  tree.set("backbone.depth", integer("depth"));
  tree.set("backbone.head_dim", integer("head_dim"));
  tree.set("backbone.patch", integer("patch_size"));
  tree.set("backbone.qkv_ratios", FieldValue(numbers(model.at("qkv_multipliers"))));
  tree.set("backbone.mlp_ratios", FieldValue(numbers(model.at("ffn_multipliers"))));
  tree.set("backbone.experts_every", integer("experts_every_n"));
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
  }
  tree.set("feed_forward.name", name("swiglu"));
  tree.set("feed_forward.multiple_of", integer("multiple_of"));
  tree.set("feed_forward.bias", bias);
  tree.set("experts.name", name("moe-expert-choice"));
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

ReferenceModel build_model(const Fixture& fixture, const Registry& registry, const nn::Precision& precision) {
  ReferenceModel model;
  model.config = json::parse(fixture.config());
  const json& settings = model.config.at("model");
  model.assembly = std::make_unique<Assembly>(registry, configuration_of(model.config));
  model.backbone = model.assembly->make<Backbone>(
      "backbone", {.channels = settings.at("in_channels").get<std::int64_t>(),
                   .caption_width = settings.at("caption_channels").get<std::int64_t>(),
                   .caption_length = model.config.at("caption_len").get<std::int64_t>()});
  model.objective = model.assembly->make<Objective>("objective", {});
  model.sampler = model.assembly->make<Sampler>("sampler", {});
  model.store = std::make_unique<nn::ParameterStore>(*model.backbone);
  model.store->materialise(precision);

  std::set<std::string> missing;
  for (const std::string& name : fixture.members("params")) missing.insert(name);
  for (const nn::ParameterSlot& slot : model.store->slots()) {
    const std::string object = "params/" + slot.name;
    if (missing.erase(slot.name) == 0)
      throw Error("the file lacks the parameter " + slot.name, fixture.path());
    if (!(fixture.shape(object) == slot.parameter->shape())) {
      throw Error("the parameter " + slot.name + " is " + fixture.shape(object).to_string() +
                      " in the file and " + slot.parameter->shape().to_string() + " in the model",
                  fixture.path());
    }
    model.store->view(model.store->values(), slot).copy_from(fixture.tensor(object, precision.parameter));
  }
  if (!missing.empty()) throw Error("the model lacks the parameter " + *missing.begin(), fixture.path());
  model.store->refresh_compute_copy();
  return model;
}

}  // namespace tessera::parity
