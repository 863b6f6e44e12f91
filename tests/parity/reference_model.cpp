#include "reference_model.hpp"

#include <set>

namespace tessera::parity {

using nlohmann::json;

namespace {

bool is_pixart(const json& config) { return config.at("kind").get<std::string>().starts_with("pixart"); }

/// Loads every parameter of the model: the trainable ones from the file's parameters, the others from its
/// buffers.
void load_parameters(const Fixture& fixture, nn::ParameterStore& store) {
  std::set<std::string> missing;
  for (const std::string& name : fixture.members("params")) missing.insert(name);
  for (const nn::ParameterSlot& slot : store.slots()) {
    const std::string object = (slot.trainable ? "params/" : "buffers/") + slot.name;
    missing.erase(slot.name);
    if (!fixture.has(object)) throw Error("the file lacks the parameter " + slot.name, fixture.path());
    if (!(fixture.shape(object) == slot.parameter->shape())) {
      throw Error("the parameter " + slot.name + " is " + fixture.shape(object).to_string() +
                      " in the file and " + slot.parameter->shape().to_string() + " in the model",
                  fixture.path());
    }
    store.view(store.values(), slot).copy_from(fixture.tensor(object, store.precision().parameter));
  }
  if (!missing.empty()) throw Error("the model lacks the parameter " + *missing.begin(), fixture.path());
  store.refresh_compute_copy();
}

}  // namespace

ReferenceModel build_model(const Fixture& fixture, const Registry& registry, const nn::Precision& precision) {
  ReferenceModel model;
  model.config = json::parse(fixture.config());
  const json& settings = model.config.at("model");
  const bool pixart = is_pixart(model.config);
  model.assembly = std::make_unique<Assembly>(
      registry, pixart ? pixart_configuration(model.config) : microdit_configuration(model.config));
  const json& length = pixart ? settings.at("model_max_length") : model.config.at("caption_len");
  model.backbone = model.assembly->make<Backbone>(
      "backbone", {.channels = settings.at("in_channels").get<std::int64_t>(),
                   .caption_width = settings.at("caption_channels").get<std::int64_t>(),
                   .caption_length = length.get<std::int64_t>()});
  if (pixart) model.backbone->set_positions(pixart_positions(model.config));
  model.adapter = model.assembly->make_optional<Adapter>("adapter", {});
  if (model.adapter != nullptr) model.adapter->attach(*model.backbone);
  model.objective = model.assembly->make_optional<Objective>("objective", {});
  model.sampler = model.assembly->make_optional<Sampler>("sampler", {});
  model.store = std::make_unique<nn::ParameterStore>(*model.backbone);
  model.store->materialise(precision);
  load_parameters(fixture, *model.store);
  return model;
}

}  // namespace tessera::parity
