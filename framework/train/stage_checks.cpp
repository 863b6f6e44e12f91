#include "train/stage_checks.hpp"

#include <algorithm>

#include "data/aspect_buckets.hpp"
#include "io/image_file.hpp"

namespace tessera::train {
namespace {

std::string list_of(const std::vector<std::string>& names) { return to_toml_text(FieldValue(names)); }

void check_grid(data::Grid grid, const std::string& bucket, const StageSettings& stage, std::int64_t patch,
                const std::string& where) {
  if (grid.height % patch != 0 || grid.width % patch != 0) {
    throw Error("latents of " + std::to_string(grid.height) + " x " + std::to_string(grid.width) +
                    " at resolution " + std::to_string(stage.resolution) + bucket +
                    " cannot be cut into patches of side " + std::to_string(patch) + ".",
                where,
                bucket.empty()
                    ? "Choose a resolution whose latent side is a multiple of the backbone's patch."
                    : "Build the data with --unit, the pixels that a patch of the model covers.");
  }
  const std::int64_t tokens = grid.height / patch * (grid.width / patch);
  if (stage.mask_ratio > 0 && Masking::kept_tokens(tokens, stage.mask_ratio) < 1) {
    throw Error("a mask_ratio of " + std::to_string(stage.mask_ratio) + " leaves none of the " +
                    std::to_string(tokens) + " patches of a picture" + bucket + ".",
                where, "Lower mask_ratio, or raise the resolution.");
  }
}

/// The one grid of a stage without aspect buckets.
data::Grid grid_of_all(const data::Dataset& dataset, std::size_t resolution, const std::string& where) {
  if (dataset.buckets().size() > 1) {
    throw Error("the data has pictures of " + std::to_string(dataset.buckets().size()) +
                    " aspect ratios, but a batch takes one.",
                where, "Set aspect_buckets = true, or build the data without --buckets.");
  }
  return dataset.common_grid(resolution);
}

/// What the stages `users` need of their data.
data::DatasetExpectation expectation(std::span<const RunComponents> stages,
                                     std::span<const std::size_t> users) {
  const RunComponents& any = stages.front();  // codec, text encoder and control map are those of the run
  data::DatasetExpectation expected;
  expected.codec = any.codec().identity();
  expected.channels = static_cast<std::uint32_t>(any.codec().channels());
  for (const std::size_t user : users) {
    if (stages[user].reads_control()) expected.control = any.control()->identity();
    const CaptionConditioner* captions = stages[user].backbone().captions();
    if (captions == nullptr) continue;  // a data set of classes alone has no captions to check
    expected.text_encoder = any.text_encoder().identity();
    expected.caption_length = static_cast<std::uint32_t>(any.text_encoder().length());
    expected.caption_width = static_cast<std::uint32_t>(any.text_encoder().width());
    if (captions->needs_all_positions()) expected.needs_all_positions = true;
  }
  return expected;
}

/// A label is a row of the shards' list, so the model's classes must be that list.
void check_classes(const AuxiliaryConditioner& auxiliary, const RunConfig& config, std::size_t stage,
                   const data::Dataset& dataset) {
  const bool groups = config.stages[stage].data.label == LabelKind::group;
  const std::vector<std::string>& there = groups ? dataset.header().groups : dataset.header().subgroups;
  const std::string kind = groups ? "groups" : "subgroups";
  const std::string shard = dataset.path(0);
  const ConfigTree tree = config.stage_tree(stage);
  if (there.empty()) {
    throw Error("the model of stage '" + config.stages[stage].name +
                    "' reads the class of every picture, but " + shard + " knows no " + kind + ".",
                tree.where("model.auxiliary"),
                "Set [data] label to the other kind, or build the data with labels.");
  }
  if (auxiliary.classes() != static_cast<std::int64_t>(there.size())) {
    throw Error("the model of stage '" + config.stages[stage].name + "' has " +
                    std::to_string(auxiliary.classes()) + " classes, but " + shard + " has " +
                    std::to_string(there.size()) + " " + kind + ".",
                tree.where("model.auxiliary.classes"),
                "Set classes = " + std::to_string(there.size()) + ", or choose the label with [data] label.");
  }
  const std::vector<std::string> names = auxiliary.class_names();
  if (names.empty() || names == there) return;
  const auto differ = std::ranges::mismatch(names, there);
  throw Error("class " + std::to_string(differ.in1 - names.begin()) + " is called '" + *differ.in1 +
                  "', but in " + shard + " it is '" + *differ.in2 + "'.",
              tree.where("model.auxiliary.names"), "Set names = " + list_of(there) + ".");
}

/// A sample grid that cannot be drawn would be noticed after hours.
void check_samples(const StageSettings& stage, const RunComponents& components, const std::string& where) {
  if (stage.sample.prompts.empty()) return;
  const std::int64_t unit = components.token_side();
  if (stage.resolution % unit != 0) {
    throw Error("sample pictures of " + std::to_string(stage.resolution) + " pixels do not suit the model, " +
                    "whose tokens stand for " + std::to_string(unit) + " pixels a side.",
                where,
                "Choose a multiple of " + std::to_string(unit) + " as resolution, or no sample_prompts.");
  }
  if (!stage.sample.controls.empty() && !components.reads_control()) {
    throw Error("the model reads no control maps, but there are sample_controls.", where,
                "Remove sample_controls from [run], or add an adapter that reads such maps.");
  }
  for (const std::string& file : stage.sample.controls) (void)io::read_image_size(file);
  const AuxiliaryConditioner* auxiliary = components.backbone().auxiliary();
  if (auxiliary == nullptr || auxiliary->classes() == 0) return;
  for (const std::string& prompt : stage.sample.prompts) {
    try {
      (void)auxiliary->label_of(prompt);
    } catch (const Error& error) {
      throw Error("the model reads classes, but of its sample_prompts " + error.summary() + ".", where,
                  "Give the stage sample_prompts of its own: " + error.remedy());
    }
  }
}

/// Whether the ranks name the same data for every stage. Collective.
bool same_paths(const RunConfig& config, const comm::Communicator& world) {
  std::string mine;
  for (const StageSettings& stage : config.stages) {
    for (const std::string& path : stage.data.all_paths()) mine += path + '\n';
    mine += '\n';
  }
  const std::vector<std::string> all = world.gather(mine);
  return std::ranges::all_of(all, [&](const std::string& paths) { return paths == all.front(); });
}

}  // namespace

data::ShardIndex index_of_shards(const std::vector<std::string>& paths, const comm::Communicator& world) {
  std::string bytes;
  data::ShardIndex index;
  world.together([&] {
    if (world.rank() != 0) return;
    index = data::ShardIndex::of(paths);
    if (world.size() > 1) bytes = index.encoded();
  });
  if (world.size() == 1) return index;
  std::uint64_t size = bytes.size();
  world.broadcast(std::as_writable_bytes(std::span(&size, 1)), 0);
  bytes.resize(size);
  world.broadcast(std::as_writable_bytes(std::span(bytes)), 0);
  if (world.rank() == 0) return index;
  return data::ShardIndex::decoded(bytes, "the index of rank 0");
}

std::vector<std::shared_ptr<const data::Dataset>> open_data(const RunConfig& config,
                                                            std::span<const RunComponents> stages,
                                                            const comm::Communicator& world) {
  // Ranks with other paths open what they were told to: their data may be the same, or the ranks differ.
  const bool told_by_one = same_paths(config, world);
  std::vector<std::shared_ptr<const data::Dataset>> opened(stages.size());
  for (std::size_t i = 0; i < stages.size(); ++i) {
    if (opened[i]) continue;
    const std::vector<std::string> paths = config.stages.at(i).data.all_paths();
    std::vector<std::size_t> users;
    for (std::size_t j = i; j < stages.size(); ++j) {
      if (config.stages.at(j).data.all_paths() == paths) users.push_back(j);
    }
    const auto data = std::make_shared<const data::Dataset>(
        told_by_one ? index_of_shards(paths, world) : data::ShardIndex::of(paths),
        expectation(stages, users));
    for (const std::size_t user : users) opened[user] = data;
  }
  return opened;
}

std::vector<data::MixturePart> mixture_of(const DataSettings& settings, const data::Dataset& dataset) {
  if (settings.mix.empty()) return {};
  std::size_t path = 0;
  const auto shards_of = [&](const std::vector<std::string>& paths) {
    std::size_t shards = 0;
    for (std::size_t i = 0; i < paths.size(); ++i) shards += dataset.shards_by_path().at(path++);
    return shards;
  };
  std::vector<data::MixturePart> parts{{shards_of(settings.path), 1, 1}};
  for (const MixSettings& mix : settings.mix) {
    parts.push_back({shards_of(mix.path), mix.share, mix.weight});
    parts.front().share -= mix.share;
  }
  return parts;
}

void check_stage(const RunConfig& config, std::size_t index, const RunComponents& components,
                 const data::Dataset& dataset, const comm::Communicator& world) {
  const StageSettings& stage = config.stages.at(index);
  const std::string where = "stage '" + stage.name + "'";
  if (stage.batch < world.size()) {
    throw Error("the batch of " + std::to_string(stage.batch) +
                    " pictures is smaller than the number of ranks, " + std::to_string(world.size()) + ".",
                where, "Raise `batch`, or start fewer ranks.");
  }
  if (index == 0 && components.adapter() != nullptr && !config.start) {
    throw Error("the model's adapter would adapt initial values, not a trained model.",
                config.stage_tree(index).where("model.adapter.name"),
                "Name a trained model: [start] checkpoint = \"FILE\".");
  }
  if (const std::vector<data::MixturePart> parts = mixture_of(stage.data, dataset); !parts.empty()) {
    if (stage.aspect_buckets) {
      throw Error("data that [[data.mix]] mixes cannot train in aspect buckets.", where,
                  "Build all of it in one shape and set aspect_buckets = false, or train without data.mix.");
    }
    try {
      (void)data::shared_out(static_cast<std::uint64_t>(stage.batch), parts);
    } catch (const Error& error) {
      throw Error(error.summary(), where, error.remedy());
    }
  }
  const std::size_t resolution = dataset.resolution_index(stage.resolution);
  if (stage.aspect_buckets) {
    for (const data::DatasetBucket& bucket : dataset.buckets()) {
      check_grid(bucket.grids[resolution], ", aspect bucket " + data::ratio_text(bucket.ratio), stage,
                 components.backbone().patch_size(), where);
    }
  } else {
    check_grid(grid_of_all(dataset, resolution, where), "", stage, components.backbone().patch_size(), where);
  }
  if (const AuxiliaryConditioner* auxiliary = components.backbone().auxiliary();
      auxiliary != nullptr && auxiliary->classes() > 0) {
    check_classes(*auxiliary, config, index, dataset);
  }
  check_samples(stage, components, where);
}

}  // namespace tessera::train
