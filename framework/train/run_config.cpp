#include "train/run_config.hpp"

#include <algorithm>
#include <set>

#include "data/aspect_buckets.hpp"
#include "plugin/component_tables.hpp"

namespace tessera::train {
namespace {

const std::vector<std::string>& known_tables() {
  static const std::vector<std::string> names{"run",       "data",    "optimizer",   "start",
                                              "stage",     "codec",   "control",     "model",
                                              "objective", "sampler", "text_encoder"};
  return names;
}

const std::vector<std::string>& model_tables() {
  static const std::vector<std::string> names{"backbone",     "patch_mixer", "masking",
                                              "feed_forward", "experts",     "modulation",
                                              "caption",      "auxiliary",   "adapter"};
  return names;
}

/// The paths of a tree's component tables that a stage may override: "model.backbone", ..., "objective".
std::vector<std::string> component_tables(const ConfigTree& tree) {
  std::vector<std::string> paths;
  for (const std::string& key : tree.table("model").keys()) paths.push_back("model." + key);
  for (const char* key : {"objective", "sampler"}) {
    if (tree.has(key)) paths.emplace_back(key);
  }
  return paths;
}

void check_keys(const ConfigTree& tree, const std::vector<std::string>& known, const std::string& what) {
  for (const std::string& key : tree.keys()) {
    if (std::ranges::find(known, key) != known.end()) continue;
    std::string remedy;
    if (const auto nearest = nearest_word(key, known)) {
      remedy = "Did you mean '" + *nearest + "'?";
    } else {
      remedy = what + " are:";
      for (const std::string& name : known) remedy += " " + name;
      remedy += ".";
    }
    throw Error("unknown table '" + key + "'", tree.where(key), remedy);
  }
}

void check_retention(const RunSettings& run, const Config& config) {
  if (run.keep.every == 0) return;
  if (run.checkpoint_every > 0 && run.keep.every % run.checkpoint_every == 0) return;
  throw Error(
      "checkpoints of every " + std::to_string(run.keep.every) + " steps are to stay, but they are " +
          (run.checkpoint_every > 0 ? "written every " + std::to_string(run.checkpoint_every) + " steps"
                                    : "written at the end of each stage only"),
      config.where("keep_checkpoints_every"),
      run.checkpoint_every > 0 ? "Choose a multiple of checkpoint_every, or 0."
                               : "Set checkpoint_every, or keep_checkpoints_every = 0.");
}

RunSettings run_settings(const Config& config) {
  RunSettings run;
  run.seed = static_cast<std::uint64_t>(config.get<std::int64_t>("seed"));
  run.precision = config.get<std::string>("precision");
  run.log_every = config.get<std::int64_t>("log_every");
  run.checkpoint_every = config.get<std::int64_t>("checkpoint_every");
  run.keep = {.newest = config.get<std::int64_t>("keep_checkpoints"),
              .every = config.get<std::int64_t>("keep_checkpoints_every")};
  run.overlap_checkpoints = config.get<bool>("overlap_checkpoints");
  check_retention(run, config);
  run.shard = {.mode = shard_named(config.get<std::string>("shard")),
               .bucket_bytes = static_cast<std::size_t>(config.get<double>("shard_bucket") * (1 << 20))};
  run.max_minutes = config.get<double>("max_minutes");
  run.job_end_margin = config.get<double>("job_end_margin");
  run.watchdog_seconds = config.get<double>("watchdog_seconds");
  run.faults = {
      .non_finite = config.get<std::string>("non_finite") == "skip" ? NonFinite::skip : NonFinite::stop,
      .norm_limit = config.get<double>("norm_limit"),
      .skip_limit = config.get<std::int64_t>("skip_limit"),
      .skip_window = config.get<std::int64_t>("skip_window"),
      .rollbacks = config.get<std::int64_t>("rollbacks")};
  run.sample_every = config.get<std::int64_t>("sample_every");
  run.trace_steps = config.get<std::int64_t>("trace_steps");
  run.trace_after = config.get<std::int64_t>("trace_after");
  run.sample = {.prompts = config.get<std::vector<std::string>>("sample_prompts"),
                .seed = static_cast<std::uint64_t>(config.get<std::int64_t>("sample_seed")),
                .guidance = config.get<double>("sample_guidance"),
                .steps = config.get<std::int64_t>("sample_steps"),
                .controls = config.get<std::vector<std::string>>("sample_controls")};
  return run;
}

/// `path = "folder"` is as good as a list of one.
ConfigTree with_path_list(ConfigTree data) {
  const ConfigNode* path = data.root().find("path");
  if (path == nullptr || !std::holds_alternative<std::string>(path->value)) return data;
  ConfigNode root = data.root();
  ConfigNode entry = *path;
  root.find("path")->value = ConfigNode::List{std::move(entry)};
  return ConfigTree(std::move(root), data.path());
}

/// A checked table [data] with its [[data.mix]].
struct DataTables {
  Config data;
  std::vector<Config> mix;
};

std::vector<Config> mix_tables(const ConfigTree& data) {
  std::vector<Config> tables;
  double shares = 0;
  for (const ConfigTree& table : data.tables("mix")) {
    tables.push_back(Config::resolve(with_path_list(table), mix_schema()));
    shares += tables.back().get<double>("share");
    if (shares > 0.999999) {
      throw Error("the shares of [[data.mix]] add up to " + std::to_string(shares) +
                      ", which leaves nothing for [data] path",
                  tables.back().where("share"), "Give all of them together less than 1.");
    }
  }
  return tables;
}

/// Of [data], or that of a stage laid over it.
DataTables data_tables(ConfigTree data, const ConfigTree& over = {}) {
  data.merge(over);
  std::vector<Config> mix = mix_tables(data);
  return {Config::resolve(with_path_list(std::move(data)), data_schema(), {"mix"}), std::move(mix)};
}

void insert(ConfigTree& tree, const std::string& place, const DataTables& tables) {
  tree.insert(place, tables.data);
  for (std::size_t i = 0; i < tables.mix.size(); ++i) {
    tree.insert(place + ".mix." + std::to_string(i), tables.mix[i]);
  }
}

DataSettings data_settings(const DataTables& tables) {
  const Config& config = tables.data;
  DataSettings data;
  data.path = config.get<std::vector<std::string>>("path");
  data.caption_drop = config.get<double>("caption_drop");
  data.label = config.get<std::string>("label") == "group" ? LabelKind::group : LabelKind::subgroup;
  data.workers = config.get<std::int64_t>("workers");
  data.prefetch = config.get<std::int64_t>("prefetch");
  data.window_shards = config.get<std::int64_t>("window_shards");
  data.replace_damaged = config.get<std::string>("damaged") == "skip";
  data.damaged_limit = config.get<std::int64_t>("damaged_limit");
  for (const Config& table : tables.mix) {
    data.mix.push_back({table.get<std::vector<std::string>>("path"), table.get<double>("share"),
                        table.get<double>("weight")});
  }
  return data;
}

/// The table `hand_over` of its owner, alone; `hand_over = "weights"` is as good as a table with that name.
ConfigTree hand_over_of(const ConfigTree& owner, const std::string& fallback) {
  ConfigNode table;
  table.origin = owner.root().origin;
  const ConfigNode* given = owner.root().find("hand_over");
  if (given != nullptr && given->is_table()) {
    table = *given;
  } else {
    ConfigNode name;
    name.value = fallback;
    if (given != nullptr) name = *given;
    std::get<ConfigNode::Table>(table.value).emplace_back("name", std::move(name));
  }
  ConfigNode root;
  std::get<ConfigNode::Table>(root.value).emplace_back("hand_over", std::move(table));
  return ConfigTree(std::move(root), owner.path());
}

StartSettings start_settings(const ConfigTree& table, const Config& config) {
  StartSettings start;
  start.checkpoint = config.get<std::string>("checkpoint");
  start.weights = checkpoint::weights_named(config.get<std::string>("weights"));
  start.digest = config.get<std::string>("digest");
  start.where = config.where("checkpoint");
  start.hand_over = hand_over_of(table, "weights");
  return start;
}

/// The tables of a stage that override those of the run.
ConfigTree overrides_of(const ConfigTree& stage) {
  ConfigNode root;
  for (const char* key : {"model", "objective", "sampler"}) {
    const ConfigTree table = stage.table(key);
    if (!table.keys().empty()) std::get<ConfigNode::Table>(root.value).emplace_back(key, table.root());
  }
  return ConfigTree(std::move(root), stage.path());
}

StageSettings stage_settings(const ConfigTree& table, const Config& config, const SampleSettings& sample) {
  StageSettings stage;
  stage.name = config.get<std::string>("name");
  stage.steps = config.get<std::int64_t>("steps");
  stage.resolution = config.get<std::int64_t>("resolution");
  stage.aspect_buckets = config.get<bool>("aspect_buckets");
  stage.batch = config.get<std::int64_t>("batch");
  stage.micro_batch = config.get<std::int64_t>("micro_batch");
  stage.mask_ratio = config.get<double>("mask_ratio");
  const std::int64_t decay = config.get<std::int64_t>("decay_steps");
  stage.learning_rate = {.rate = config.get<double>("learning_rate"),
                         .schedule = config.get<std::string>("schedule"),
                         .warmup = config.get<std::int64_t>("warmup"),
                         .decay_steps = decay == 0 ? stage.steps : decay,
                         .floor = config.get<double>("floor")};
  stage.clip_norm = config.get<double>("clip_norm");
  stage.ema_smoothing = config.get<double>("ema_smoothing");
  stage.ema_start = config.get<std::int64_t>("ema_start");
  stage.position_scale = config.get<double>("position_scale");
  stage.hand_over = hand_over_of(table, "full");
  stage.sample = sample;
  const auto& prompts = config.get<std::vector<std::string>>("sample_prompts");
  if (!prompts.empty()) stage.sample.prompts = prompts;
  if (config.get<double>("sample_guidance") > 0)
    stage.sample.guidance = config.get<double>("sample_guidance");
  for (const std::string& shape : config.get<std::vector<std::string>>("sample_aspects")) {
    try {
      stage.sample.aspects.push_back(data::aspect_of(shape));
    } catch (const Error& error) {
      throw Error(error.summary(), config.where("sample_aspects"), error.remedy());
    }
  }
  stage.overrides = overrides_of(table);
  return stage;
}

void check_faults(const FaultSettings& faults, const Config& config) {
  if (faults.norm_limit > 0 && faults.norm_limit <= 1) {
    throw Error("a norm_limit of " + std::to_string(faults.norm_limit) + " would leave out ordinary steps",
                config.where("norm_limit"), "Give a factor above 1, such as 5, or 0 for no limit.");
  }
  if (faults.skip_limit > faults.skip_window) {
    throw Error("skip_limit = " + std::to_string(faults.skip_limit) + " steps cannot be left out among " +
                    std::to_string(faults.skip_window),
                config.where("skip_limit"), "Lower skip_limit, or raise skip_window.");
  }
}

void check_schedule(const StageSettings& stage, const Config& config) {
  const LearningRateSettings& rate = stage.learning_rate;
  if (rate.schedule != "constant" && rate.decay_steps <= rate.warmup) {
    throw Error("the learning rate would decay until step " + std::to_string(rate.decay_steps) +
                    ", before its warm-up of " + std::to_string(rate.warmup) + " steps ends",
                config.where("warmup"), "Shorten `warmup`, or raise `decay_steps` (by default `steps`).");
  }
}

}  // namespace

std::vector<std::string> DataSettings::all_paths() const {
  std::vector<std::string> all = path;
  for (const MixSettings& part : mix) all.insert(all.end(), part.path.begin(), part.path.end());
  return all;
}

PositionGrid positions_of(const StageSettings& stage, const RunComponents& components) {
  const std::int64_t unit = components.token_side();
  return {.scale = stage.position_scale, .base = stage.resolution / unit};
}

RunConfig RunConfig::resolve(const ConfigTree& tree) {
  check_keys(tree, known_tables(), "The tables of a run");
  RunConfig result;
  result.tree = tree;
  const Config run = Config::resolve(tree.table("run"), run_schema());
  const DataTables data = data_tables(tree.table("data"));
  const Config optimizer = Config::resolve(tree.table("optimizer"), optimizer_schema());
  result.run = run_settings(run);
  check_faults(result.run.faults, run);
  result.data = data_settings(data);
  result.optimizer = {.weight_decay = optimizer.get<double>("weight_decay"),
                      .beta1 = optimizer.get<double>("beta1"),
                      .beta2 = optimizer.get<double>("beta2"),
                      .eps = optimizer.get<double>("eps")};
  result.resolved_.insert("run", run);
  insert(result.resolved_, "data", data);
  result.resolved_.insert("optimizer", optimizer);
  if (tree.has("start")) {
    const ConfigTree table = tree.table("start");
    const Config start = Config::resolve(table, start_schema(), {"hand_over"});
    result.start = start_settings(table, start);
    result.resolved_.insert("start", start);
  }
  std::set<std::string> names;
  for (const ConfigTree& table : tree.tables("stage")) {
    const Config config =
        Config::resolve(table, stage_schema(), {"hand_over", "data", "model", "objective", "sampler"});
    StageSettings stage = stage_settings(table, config, result.run.sample);
    const DataTables stage_data = data_tables(tree.table("data"), table.table("data"));
    stage.data = data_settings(stage_data);
    check_schedule(stage, config);
    if (!names.insert(stage.name).second) {
      throw Error("two stages have the name '" + stage.name + "'", config.where("name"),
                  "Give each [[stage]] a name of its own.");
    }
    const std::string place = "stage." + std::to_string(result.stages.size());
    result.resolved_.insert(place, config);
    if (table.has("data")) {
      insert(result.resolved_, place + ".data", stage_data);
      if (stage_data.mix.empty() && !data.mix.empty()) {  // said, or it would be that of [data]
        result.resolved_.set(place + ".data.mix", FieldValue(std::vector<std::string>{}));
      }
    }
    result.stages.push_back(std::move(stage));
  }
  if (result.stages.empty()) {
    throw Error("the configuration has no stage to train", tree.where("stage"),
                "Add a [[stage]] table with name, steps, resolution, batch and learning_rate.");
  }
  return result;
}

ConfigTree RunConfig::stage_tree(std::size_t stage) const {
  return with_overrides(tree, stages.at(stage).overrides);
}

std::size_t RunConfig::stage_of(const checkpoint::RunState& state) const {
  return std::min(static_cast<std::size_t>(state.stage), stages.size() - 1);
}

void RunConfig::check_model_tables(std::span<const ConfigTree> made) const {
  // A table of a slot that is switched off is fine; one that no component ever asks for is a mistake.
  std::vector<std::string> known = model_tables();
  for (const ConfigTree& stage : made) {
    for (const std::string& used : stage.table("model").keys()) known.push_back(used);
  }
  check_keys(tree.table("model"), known, "The tables of [model]");
  for (const StageSettings& stage : stages) {
    check_keys(stage.overrides.table("model"), known, "The tables of [model]");
  }
}

ConfigTree RunConfig::resolved(std::span<const ConfigTree> made) const {
  check_model_tables(made);
  ConfigTree result;
  for (const char* key : {"codec", "text_encoder", "control"}) {
    if (made.front().has(key)) result.insert(key, made.front().table(key));
  }
  // What a stage does not override is the run's, and the same in every stage that makes it.
  for (std::size_t i = 0; i < stages.size(); ++i) {
    for (const std::string& path : component_tables(made[i])) {
      if (!stages[i].overrides.has(path) && !result.has(path)) result.insert(path, made[i].table(path));
    }
  }
  result.merge(resolved_);
  for (std::size_t i = 0; i < stages.size(); ++i) {
    const std::string stage = "stage." + std::to_string(i) + ".";
    const bool starts = i == 0 && start;
    const ConfigTree& given = starts ? start->hand_over : stages[i].hand_over;
    const ConfigTree& hand_over = made[i].has("hand_over") ? made[i] : given;
    result.insert(starts ? "start.hand_over" : stage + "hand_over", hand_over.table("hand_over"));
    for (const std::string& path : component_tables(stages[i].overrides)) {
      const ConfigTree& source = made[i].has(path) ? made[i] : stages[i].overrides;
      result.insert(stage + path, source.table(path));
    }
  }
  return result;
}

std::int64_t RunConfig::total_steps() const {
  std::int64_t steps = 0;
  for (const StageSettings& stage : stages) steps += stage.steps;
  return steps;
}

}  // namespace tessera::train
