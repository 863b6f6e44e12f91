#pragma once
// Invariant: a toy run has every feature of a real one (masking, experts, caption dropout, accumulation, a
// batch that no rank count from 2 to 4 divides, shards of different sizes) and takes milliseconds per step.

#include <array>
#include <string>
#include <vector>

#include "base/random.hpp"
#include "data/aspect_buckets.hpp"
#include "data/shard_writer.hpp"
#include "io/file.hpp"
#include "plugin/registry.hpp"
#include "train/run_config.hpp"
#include "train/trainer.hpp"

namespace tessera::test {

inline const Registry& registry() {
  static const Registry all = Registry::with_installed_plugins();
  return all;
}

/// Two stages: 30 masked steps at 16 px, then 20 at 32 px that take everything over and average the weights.
inline ConfigTree toy_configuration(const std::string& data, const std::string& precision) {
  ConfigTree tree = ConfigTree::parse(R"(
[run]
seed = 5
log_every = 1
keep_checkpoints = 2
[data]
caption_drop = 0.3
window_shards = 2
[codec]
name = "pixel"
[text_encoder]
name = "word-hash"
width = 8
length = 4
[model.backbone]
name = "dit"
width = 32
depth = 2
head_dim = 16
patch = 4
experts_every = 2
[model.patch_mixer]
name = "patch-mixer"
depth = 1
width = 32
experts_every = 2
[model.masking]
name = "random"
[model.feed_forward]
name = "swiglu"
multiple_of = 16
[model.experts]
name = "moe-expert-choice"
experts = 2
capacity = 1.0
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
[optimizer]
weight_decay = 0.01
[[stage]]
name = "small"
steps = 30
resolution = 16
batch = 7
micro_batch = 2
mask_ratio = 0.5
learning_rate = 3e-3
schedule = "cosine"
warmup = 5
floor = 0.3
clip_norm = 0.5
[[stage]]
name = "large"
steps = 20
resolution = 32
batch = 5
learning_rate = 1e-3
clip_norm = 0.5
ema_smoothing = 0.9
ema_start = 6
position_scale = 2.0
hand_over = "full"
objective = { p_mean = -0.3 }
)",
                                      "toy");
  tree.set("data.path", FieldValue(std::vector<std::string>{data}));
  tree.set("run.precision", FieldValue(precision));
  return tree;
}

/// PixArt-alpha's plan in small: a class-conditional DiT, the same weights with captions, then with sizes,
/// and at last everything goes on; 8 + 8 + 7 + 7 steps.
inline ConfigTree staged_configuration(const std::string& data, const std::string& precision) {
  ConfigTree tree = toy_configuration(data, precision);
  tree.merge(ConfigTree::parse(R"(
[model.backbone]
width = 24
head_dim = 8
qkv_ratio_first = 1.0
mlp_ratio_first = 4.0
experts_every = 0
bias = true
norm_gain = false
normalise_qk = false
cross_norm = false
noise_frequencies = 16
noise_activation = "silu"
initialisation = "xavier"
[[stage]]
name = "classes"
steps = 8
resolution = 16
batch = 7
micro_batch = 2
learning_rate = 3e-3
[stage.model.caption]
name = "none"
[stage.model.auxiliary]
name = "class-label"
classes = 3
names = ["naught", "one", "two"]
[stage.model.modulation]
name = "adaln"
activation = "silu"
[[stage]]
name = "captions"
steps = 8
resolution = 16
batch = 7
learning_rate = 2e-3
sample_prompts = ["picture"]
sample_guidance = 3.0
[stage.hand_over]
name = "dit-reparameterise"
timestep = 0.5
[[stage]]
name = "sizes"
steps = 7
resolution = 32
batch = 5
learning_rate = 1e-3
position_scale = 2.0
ema_smoothing = 0.9
ema_start = 3
hand_over = "weights"
objective = { p_mean = -0.3 }
[stage.model.auxiliary]
name = "size-aspect"
frequencies = 8
[[stage]]
name = "on"
steps = 7
resolution = 32
batch = 5
learning_rate = 1e-3
position_scale = 2.0
ema_smoothing = 0.8
[stage.model.auxiliary]
name = "size-aspect"
frequencies = 8
[stage.sampler]
steps = 3
)",
                               "staged"));
  for (const char* setting : {"patch_mixer={name=\"none\"}", "feed_forward={name=\"gelu-mlp\"}",
                              "modulation={name=\"adaln-single\"}", "caption={name=\"projection\"}"}) {
    tree.set(std::string("model.") + setting);
  }
  return tree;
}

/// The same with every stage in aspect buckets.
inline ConfigTree bucketed(ConfigTree tree) {
  const std::size_t stages = tree.tables("stage").size();
  for (std::size_t i = 0; i < stages; ++i) {
    tree.set("stage." + std::to_string(i) + ".aspect_buckets=true");
  }
  return tree;
}

/// Three shards of 11, 6 and 2 pictures, each of one colour with some noise: there is something to learn.
/// @param buckets  wide, square and tall ones in turn, in the buckets nearest to 2:1, 1:1 and 1:2; else
/// squares. @param settings  of the codec and the text encoder, where they are not those of the toy run.
/// @param seed  of the pictures
inline void make_toy_data(const std::string& folder, bool buckets = false,
                          const std::vector<std::string>& settings = {}, std::uint64_t seed = 1) {
  ConfigTree tree = toy_configuration(folder, "float32");
  for (const std::string& setting : settings) tree.set(setting);
  RunComponents components(registry(), tree);
  data::ShardHeader header;
  header.codec = components.codec().identity();
  header.text_encoder = components.text_encoder().identity();
  header.channels = static_cast<std::uint32_t>(components.codec().channels());
  header.resolutions = {16, 32};
  header.caption_length = static_cast<std::uint32_t>(components.text_encoder().length());
  header.caption_width = static_cast<std::uint32_t>(components.text_encoder().width());
  header.control = "canny low=100 high=200";  // for runs that read them
  header.groups = {"low", "middle", "high"};
  header.subgroups = {"naught", "one", "two"};
  const std::vector<data::AspectBucket> shapes = data::aspect_buckets(header.resolutions, 4);
  io::make_folders(folder);
  const RandomStream stream(RandomKey{.seed = seed, .purpose = Purpose::test});
  std::uint64_t number = 0;
  for (const auto& [shard, records] : {std::pair<std::size_t, int>{0, 11}, {1, 6}, {2, 2}}) {
    data::ShardWriter writer(folder + "/" + data::shard_name(shard, 3), header);
    for (int i = 0; i < records; ++i, ++number) {
      data::Record record;
      record.id = std::to_string(number);
      const std::size_t shape = buckets ? number % 3 : 1;
      record.width = std::array{64, 32, 32}[shape];
      record.height = std::array{32, 32, 64}[shape];
      record.group = static_cast<std::int32_t>(number / 7);
      record.subgroup = static_cast<std::int32_t>(number % 3);
      for (std::size_t r = 0; r < header.resolutions.size(); ++r) {
        const std::int64_t side = header.resolutions[r];
        const io::ImageSize size = shapes[data::nearest_bucket(shapes, record.height, record.width)].sizes[r];
        const data::Grid grid{static_cast<std::uint32_t>(size.height),
                              static_cast<std::uint32_t>(size.width)};
        const std::size_t pixels = std::size_t{grid.height} * grid.width;
        data::Record::Latent latent{grid, std::vector<float>(3 * pixels)};
        fill_normal(stream, number, static_cast<std::uint64_t>(side) << 20, latent.values.data(),
                    latent.values.size());
        for (std::size_t e = 0; e < latent.values.size(); ++e) {
          const float colour = normal(stream, number, e / pixels);
          latent.values[e] = colour + 0.1F * latent.values[e];
        }
        // Somewhat like edges: -1 or 1, in places that belong to the picture.
        data::Record::Latent control = latent;
        for (float& value : control.values) value = value > 0 ? 1.0F : -1.0F;
        record.controls.push_back(std::move(control));
        record.latents.push_back(std::move(latent));
      }
      const std::string text = "picture number " + std::to_string(number);
      const EncodedText encoded = components.text_encoder().encode(text);
      record.captions.push_back({text, static_cast<std::uint32_t>(encoded.real_tokens), encoded.features});
      writer.add(record);
    }
    writer.finish();
  }
}

}  // namespace tessera::test
