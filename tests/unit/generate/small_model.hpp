#pragma once
// A MicroDiT of a few thousand parameters with random weights, whose pictures depend on everything they
// should.

#include <algorithm>
#include <string>

#include "base/random.hpp"
#include "generate/generate.hpp"
#include "nn/parameter_store.hpp"
#include "train/run_config.hpp"

namespace tessera::generate {

inline const char* small_configuration() {
  return R"(
    [run]
    sample_prompts = ["red heart", "a blue circle"]
    sample_guidance = 2.5
    sample_seed = 11
    sample_steps = 3
    [data]
    path = ["nowhere"]
    [codec]
    name = "pixel"
    [text_encoder]
    name = "word-hash"
    width = 16
    length = 4
    [model.backbone]
    name = "dit"
    width = 32
    depth = 2
    head_dim = 16
    patch = 2
    experts_every = 2
    [model.patch_mixer]
    name = "patch-mixer"
    depth = 2
    width = 32
    [model.masking]
    name = "random"
    [model.feed_forward]
    name = "swiglu"
    multiple_of = 16
    [model.experts]
    name = "moe-expert-choice"
    experts = 2
    multiple_of = 16
    [model.modulation]
    name = "adaln"
    [model.caption]
    name = "attention-pooled"
    multiple_of = 16
    [objective]
    name = "edm"
    [sampler]
    name = "edm-heun"
    steps = 3
    [[stage]]
    name = "first"
    steps = 1
    resolution = 8
    batch = 2
    learning_rate = 1e-3
    [[stage]]
    name = "second"
    steps = 1
    resolution = 16
    batch = 2
    learning_rate = 1e-3
    ema_smoothing = 0.9
    position_scale = 2.0
  )";
}

inline ConfigTree small_tree(const std::vector<std::string>& settings) {
  ConfigTree tree = ConfigTree::parse(small_configuration(), "small.toml");
  for (const std::string& setting : settings) tree.set(setting);
  return tree;
}

/// Initialised weights give an output of zero; these do not.
inline void randomise(nn::ParameterStore& store, std::uint64_t seed) {
  std::vector<float> values(static_cast<std::size_t>(store.arena_elements()));
  fill_normal(RandomStream(RandomKey{.seed = seed, .purpose = Purpose::test}), 0, 0, values.data(),
              values.size());
  for (float& value : values) value *= 0.15F;
  store.values().fill_zero();
  for (const nn::ParameterSlot& slot : store.slots()) {
    const auto from = values.begin() + slot.offset;
    store.view(store.values(), slot).copy_from_host(std::vector<float>(from, from + slot.count).data());
  }
  store.refresh_compute_copy();
}

struct SmallModel {
  /// @param settings  laid over small_configuration(): "model.backbone.depth=1".
  explicit SmallModel(const std::vector<std::string>& settings = {})
      : registry(Registry::with_installed_plugins()),
        config(train::RunConfig::resolve(small_tree(settings))),
        components(registry, config.stage_tree(0)),
        store(components.backbone()) {
    store.materialise(nn::Precision::named("float32"));
    randomise(store, 5);
  }
  /// As a run writes it into its checkpoints.
  [[nodiscard]] std::string resolved_configuration() const {
    std::vector<ConfigTree> made;
    for (std::size_t i = 0; i < config.stages.size(); ++i) {
      made.push_back(RunComponents(components, config.stage_tree(i)).resolved());
    }
    return config.resolved(made).to_toml();
  }
  [[nodiscard]] Request request() const {
    Request wanted;
    wanted.prompts = {"red heart", "blue circle", "green square", "red heart", "a cat"};
    wanted.per_prompt = 2;
    wanted.resolution = 8;
    wanted.seed = 3;
    wanted.guidance = 2;
    wanted.steps = 3;
    wanted.batch = 4;
    return wanted;
  }

  Registry registry;
  train::RunConfig config;
  RunComponents components;
  nn::ParameterStore store;
};

/// The largest difference between two pictures, in levels of 256.
inline int difference(const io::Image& a, const io::Image& b) {
  if (a.size() != b.size()) return 256;
  int most = 0;
  for (std::size_t i = 0; i < a.pixels.size(); ++i) {
    most = std::max(most, std::abs(int{a.pixels[i]} - int{b.pixels[i]}));
  }
  return most;
}

}  // namespace tessera::generate
