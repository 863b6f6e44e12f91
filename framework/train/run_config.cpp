#include "train/run_config.hpp"

#include <algorithm>
#include <set>

namespace tessera::train {
namespace {

const std::vector<std::string>& known_tables() {
  static const std::vector<std::string> names{"run",   "data",      "optimizer", "stage",       "codec",
                                              "model", "objective", "sampler",   "text_encoder"};
  return names;
}

const std::vector<std::string>& model_tables() {
  static const std::vector<std::string> names{"backbone", "patch_mixer", "masking", "feed_forward",
                                              "experts",  "modulation",  "caption", "auxiliary"};
  return names;
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

RunSettings run_settings(const Config& config) {
  RunSettings run;
  run.seed = static_cast<std::uint64_t>(config.get<std::int64_t>("seed"));
  run.precision = config.get<std::string>("precision");
  run.log_every = config.get<std::int64_t>("log_every");
  run.checkpoint_every = config.get<std::int64_t>("checkpoint_every");
  run.keep_checkpoints = config.get<std::int64_t>("keep_checkpoints");
  run.max_minutes = config.get<double>("max_minutes");
  run.non_finite = config.get<std::string>("non_finite") == "skip" ? NonFinite::skip : NonFinite::stop;
  run.sample_every = config.get<std::int64_t>("sample_every");
  run.sample_prompts = config.get<std::vector<std::string>>("sample_prompts");
  run.sample_seed = static_cast<std::uint64_t>(config.get<std::int64_t>("sample_seed"));
  run.sample_guidance = config.get<double>("sample_guidance");
  run.sample_steps = config.get<std::int64_t>("sample_steps");
  return run;
}

DataSettings data_settings(const Config& config) {
  DataSettings data;
  data.path = config.get<std::vector<std::string>>("path");
  data.caption_drop = config.get<double>("caption_drop");
  data.workers = config.get<std::int64_t>("workers");
  data.prefetch = config.get<std::int64_t>("prefetch");
  data.window_shards = config.get<std::int64_t>("window_shards");
  return data;
}

StageSettings stage_settings(const Config& config) {
  StageSettings stage;
  stage.name = config.get<std::string>("name");
  stage.steps = config.get<std::int64_t>("steps");
  stage.resolution = config.get<std::int64_t>("resolution");
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
  stage.hand_over = config.get<std::string>("hand_over") == "weights" ? HandOver::weights : HandOver::full;
  return stage;
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

void check_schedule(const StageSettings& stage, const Config& config) {
  const LearningRateSettings& rate = stage.learning_rate;
  if (rate.schedule != "constant" && rate.decay_steps <= rate.warmup) {
    throw Error("the learning rate would decay until step " + std::to_string(rate.decay_steps) +
                    ", before its warm-up of " + std::to_string(rate.warmup) + " steps ends",
                config.where("warmup"), "Shorten `warmup`, or raise `decay_steps` (by default `steps`).");
  }
}

}  // namespace

const Schema& run_schema() {
  static const Schema schema = [] {
    Schema s("run", "What the whole run has in common");
    s.integer("seed", 18).at_least(0).help("Seed of every random draw.");
    s.string("precision", "float32")
        .choices({"float32", "bfloat16", "float64"})
        .help("Of the computation; parameters and optimizer state are float32, or float64 with float64.");
    s.integer("log_every", 10).at_least(1).unit("steps").help("Between two lines of metrics.");
    s.integer("checkpoint_every", 0)
        .at_least(0)
        .unit("steps")
        .help("Between two checkpoints; 0 writes one at the end of each stage only.");
    s.integer("keep_checkpoints", 2).at_least(1).help("How many of the newest checkpoints stay.");
    s.number("max_minutes", 0)
        .at_least(0)
        .unit("minutes")
        .help("Stop after this time with a checkpoint and exit code 75; 0 sets no limit.");
    s.string("non_finite", "stop")
        .choices({"stop", "skip"})
        .help(
            "What a step does whose loss or gradient is NaN or infinite: end the run, or leave the weights "
            "as they are.");
    s.integer("sample_every", 0).at_least(0).unit("steps").help("Between two sample grids; 0 makes none.");
    s.strings("sample_prompts", {}).help("Prompts of the sample grids, one tile each.");
    s.integer("sample_seed", 0).at_least(0).help("Seed of the sample grids' noise.");
    s.number("sample_guidance", 5).at_least(0).help("Classifier-free guidance of the sample grids.");
    s.integer("sample_steps", 0).at_least(0).help("Of the sampler; 0 takes its own default.");
    return s;
  }();
  return schema;
}

const Schema& data_schema() {
  static const Schema schema = [] {
    Schema s("data", "What the run trains on");
    s.strings("path").help("Folders of shards, or shards: one text or a list.");
    s.number("caption_drop", 0.1)
        .range(0, 1)
        .help("Probability that a sample trains without its caption, for guidance.");
    s.integer("workers", 1).range(1, 64).unit("threads per rank").help("Threads that read ahead.");
    s.integer("prefetch", 3).range(2, 1024).unit("micro-batches").help("How far they read ahead.");
    s.integer("window_shards", 16)
        .range(1, 65536)
        .help("Shards whose records are mixed with each other; more mix better and touch more files.");
    return s;
  }();
  return schema;
}

const Schema& optimizer_schema() {
  static const Schema schema = [] {
    Schema s("optimizer", "AdamW");
    s.number("weight_decay", 0.1).at_least(0).help("Decoupled; of every parameter.");
    s.number("beta1", 0.9).range(0, 0.999999).help("Memory of the first moment.");
    s.number("beta2", 0.999).range(0, 0.9999999).help("Memory of the second moment.");
    s.number("eps", 1e-8).at_least(0).help("Added to the root of the second moment.");
    return s;
  }();
  return schema;
}

const Schema& stage_schema() {
  static const Schema schema = [] {
    Schema s("stage", "One stage of training; stages run in the order written");
    s.string("name").help("Appears in metrics and checkpoints.");
    s.integer("steps").at_least(1).help("Optimizer steps.");
    s.integer("resolution").at_least(1).unit("pixels").help("Side of the pictures; one that the data has.");
    s.integer("batch").at_least(1).unit("pictures").help("Per step, over all ranks.");
    s.integer("micro_batch", 0)
        .at_least(0)
        .unit("pictures")
        .help("At most so many at a time on a rank; 0 takes the rank's whole share.");
    s.number("mask_ratio", 0).range(0, 0.99).help("Part of the patches that training drops.");
    s.number("learning_rate").at_least(0).help("After the warm-up.");
    s.string("schedule", "constant")
        .choices({"constant", "cosine", "cyclic-cosine"})
        .help("Of the learning rate, after the warm-up.");
    s.integer("warmup", 0).at_least(0).unit("steps").help("Linear rise from 0.");
    s.integer("decay_steps", 0)
        .at_least(0)
        .unit("steps")
        .help("Where the cosine ends, counted from the stage's start, or a cycle's end; 0 takes `steps`.");
    s.number("floor", 0).range(0, 1).help("The cosine ends at floor x learning_rate.");
    s.number("clip_norm", 0).at_least(0).help("Largest norm of the whole gradient; 0 does not clip.");
    s.number("ema_smoothing", 0)
        .range(0, 0.9999999)
        .help("Of the running average of the weights, which sampling then uses; 0 keeps none.");
    s.integer("ema_start", 0)
        .at_least(0)
        .unit("steps")
        .help("Step of the stage at which the average starts.");
    s.number("position_scale", 1)
        .range(1e-3, 1e3)
        .help("Divides position coordinates: 2 where the latent has twice the side of the first stage's.");
    s.string("hand_over", "full")
        .choices({"full", "weights"})
        .help("What the stage takes from the one before: weights and optimizer state, or weights only.");
    return s;
  }();
  return schema;
}

PositionGrid positions_of(const StageSettings& stage, const RunComponents& components) {
  const std::int64_t unit = components.codec().downsampling() * components.backbone().patch_size();
  return {.scale = stage.position_scale, .base = stage.resolution / unit};
}

RunConfig RunConfig::resolve(const ConfigTree& tree) {
  check_keys(tree, known_tables(), "The tables of a run");
  RunConfig result;
  result.tree = tree;
  const Config run = Config::resolve(tree.table("run"), run_schema());
  const Config data = Config::resolve(with_path_list(tree.table("data")), data_schema());
  const Config optimizer = Config::resolve(tree.table("optimizer"), optimizer_schema());
  result.run = run_settings(run);
  result.data = data_settings(data);
  result.optimizer = {.weight_decay = optimizer.get<double>("weight_decay"),
                      .beta1 = optimizer.get<double>("beta1"),
                      .beta2 = optimizer.get<double>("beta2"),
                      .eps = optimizer.get<double>("eps")};
  result.resolved_.insert("run", run);
  result.resolved_.insert("data", data);
  result.resolved_.insert("optimizer", optimizer);
  std::set<std::string> names;
  for (const ConfigTree& table : tree.tables("stage")) {
    const Config config = Config::resolve(table, stage_schema(), {"objective"});
    StageSettings stage = stage_settings(config);
    stage.objective = table.table("objective");
    check_schedule(stage, config);
    if (!names.insert(stage.name).second) {
      throw Error("two stages have the name '" + stage.name + "'", config.where("name"),
                  "Give each [[stage]] a name of its own.");
    }
    const std::string path = "stage." + std::to_string(result.stages.size());
    result.resolved_.insert(path, config);
    if (!stage.objective.keys().empty()) result.resolved_.insert(path + ".objective", stage.objective);
    result.stages.push_back(std::move(stage));
  }
  if (result.stages.empty()) {
    throw Error("the configuration has no stage to train", tree.where("stage"),
                "Add a [[stage]] table with name, steps, resolution, batch and learning_rate.");
  }
  return result;
}

ConfigTree RunConfig::resolved(const RunComponents& components) const {
  ConfigTree result = components.resolved();
  // A table of a slot that is switched off is fine; one that no component ever asks for is a mistake.
  std::vector<std::string> known = model_tables();
  for (const std::string& used : result.table("model").keys()) known.push_back(used);
  check_keys(tree.table("model"), known, "The tables of [model]");
  result.merge(resolved_);
  return result;
}

std::int64_t RunConfig::total_steps() const {
  std::int64_t steps = 0;
  for (const StageSettings& stage : stages) steps += stage.steps;
  return steps;
}

}  // namespace tessera::train
