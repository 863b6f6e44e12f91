#pragma once
// Invariant: models come from the configurations that users train, with a few settings laid over them.

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "nn/parameter_store.hpp"
#include "plugin/assembly.hpp"
#include "plugin/slots/adapter.hpp"
#include "plugin/slots/codec.hpp"
#include "plugin/slots/text_encoder.hpp"
#include "unit/ops/gradient_check.hpp"

namespace tessera::test {

inline const Registry& registry() {
  static const Registry loaded = Registry::with_installed_plugins();
  return loaded;
}

/// The backbone of configs/NAME.toml, without an objective or data.
struct Model {
  explicit Model(const std::string& name, const std::vector<const char*>& settings = {}) {
    const std::filesystem::path here = __FILE__;
    const auto root = here.parent_path().parent_path().parent_path().parent_path();
    ConfigTree tree = ConfigTree::load({root / "configs" / (name + ".toml")});
    for (const char* setting : settings) tree.set(setting);
    Assembly outer(registry(), tree);
    const auto codec = outer.make<Codec>("codec", {});
    const auto text = outer.make<TextEncoder>("text_encoder", {});
    assembly = std::make_unique<Assembly>(registry(), tree.table("model"));
    backbone = assembly->make<Backbone>(
        "backbone",
        {.channels = codec->channels(), .caption_width = text->width(), .caption_length = text->length()});
  }
  /// Gives the parameters memory and their initial values.
  void initialise(const char* precision) {
    store = std::make_unique<nn::ParameterStore>(*backbone);
    store->materialise(nn::Precision::named(precision));
    store->initialize(7);
  }
  /// Values under which everything acts on the output.
  void randomise() {
    std::uint32_t seed = 100;
    for (const nn::ParameterSlot& slot : store->slots()) {
      store->view(store->values(), slot)
          .copy_from(random_tensor(slot.parameter->shape(), store->precision().parameter, seed++, -0.3, 0.3));
    }
    store->refresh_compute_copy();
  }
  [[nodiscard]] Tensor value(const std::string& name) const {
    return store->view(store->values(), store->slot(name));
  }

  std::unique_ptr<Assembly> assembly;
  std::unique_ptr<Backbone> backbone;
  std::unique_ptr<nn::ParameterStore> store;
};

/// A model with the adapter of its settings.
struct Adapted : Model {
  Adapted(const std::string& name, const std::vector<const char*>& settings) : Model(name, settings) {
    adapter = assembly->make<Adapter>("adapter", {});
    adapter->attach(*backbone);
  }
  std::unique_ptr<Adapter> adapter;
};

/// What is said against PixArt-alpha's model with the adapter of these settings; "no error" when nothing is.
inline std::string failure(const std::vector<const char*>& settings) {
  try {
    const Adapted model("pixart/model-xl-2", settings);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

/// A PixArt-alpha or DiT of a few thousand parameters: 10 caption tokens of 24 features, 4 channels.
inline Model small_model(const std::string& name, const std::vector<const char*>& more = {}) {
  std::vector<const char*> settings{"text_encoder.width=24", "text_encoder.length=10",
                                    "model.backbone.width=48", "model.backbone.depth=2",
                                    "model.backbone.head_dim=12"};
  settings.insert(settings.end(), more.begin(), more.end());
  return Model(name, settings);
}

}  // namespace tessera::test
