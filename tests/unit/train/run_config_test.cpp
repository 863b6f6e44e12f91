#include "train/run_config.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tessera::train {
namespace {

using testing::HasSubstr;

constexpr const char* kStage = R"(
[[stage]]
name = "a"
steps = 100
resolution = 16
batch = 8
learning_rate = 1e-3
)";

RunConfig resolve(const std::string& text) {
  return RunConfig::resolve(ConfigTree::parse("[data]\npath = \"shards\"\n" + text, "run.toml"));
}

std::string failure(const std::string& text) {
  try {
    resolve(text);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(RunConfig, TakesDefaultsAndGivenValues) {
  const RunConfig config = resolve(std::string(R"(
[run]
precision = "bfloat16"
[optimizer]
beta2 = 0.99
)") + kStage + "schedule = \"cosine\"\nhand_over = \"weights\"\nobjective = { p_mean = 0.5 }\n");
  EXPECT_EQ(config.run.precision, "bfloat16");
  EXPECT_EQ(config.run.log_every, 10);
  EXPECT_EQ(config.run.faults.non_finite, NonFinite::stop);
  EXPECT_EQ(config.data.path, std::vector<std::string>{"shards"});
  EXPECT_EQ(config.data.caption_drop, 0.1);
  EXPECT_EQ(config.optimizer.beta2, 0.99);
  EXPECT_EQ(config.optimizer.weight_decay, 0.1);
  ASSERT_EQ(config.stages.size(), 1U);
  const StageSettings& stage = config.stages[0];
  EXPECT_EQ(stage.learning_rate.decay_steps, 100);  // the stage's own length
  EXPECT_EQ(stage.hand_over.get_string("hand_over.name"), "weights");
  EXPECT_TRUE(stage.overrides.has("objective.p_mean"));
  EXPECT_EQ(config.total_steps(), 100);
}

TEST(RunConfig, NamesWhatItDoesNotKnow) {
  EXPECT_THAT(failure(std::string("[optimiser]\nbeta1 = 0.9\n") + kStage),
              HasSubstr("Did you mean 'optimizer'"));
  EXPECT_THAT(failure(std::string("[run]\nlog_evry = 5\n") + kStage), HasSubstr("log_every"));
  EXPECT_THAT(failure(std::string(kStage) + "mask = 0.75\n"), HasSubstr("mask_ratio"));
  EXPECT_THAT(failure(std::string(kStage) + "clip_norm = \"no\"\n"), HasSubstr("clip_norm"));
  EXPECT_THAT(failure(std::string(kStage) + "mask_ratio = 1.5\n"), HasSubstr("0.99"));
}

TEST(RunConfig, RefusesWhatDoesNotFitTogether) {
  EXPECT_THAT(failure(""), HasSubstr("no stage"));
  EXPECT_THAT(failure(std::string(kStage) + kStage), HasSubstr("two stages"));
  EXPECT_THAT(failure(std::string("[run]\nnorm_limit = 0.9\n") + kStage), HasSubstr("ordinary steps"));
  EXPECT_THAT(failure(std::string("[run]\nskip_limit = 9\nskip_window = 8\n") + kStage),
              HasSubstr("skip_window"));
  EXPECT_THAT(failure(std::string(kStage) + "schedule = \"cosine\"\nwarmup = 100\n"), HasSubstr("warm-up"));
}

TEST(RunConfig, CheckpointsThatStayAreAmongThoseThatAreWritten) {
  const RunConfig config =
      resolve(std::string("[run]\ncheckpoint_every = 500\nkeep_checkpoints_every = 2000\n") + kStage);
  EXPECT_EQ(config.run.keep.newest, 2);
  EXPECT_EQ(config.run.keep.every, 2000);
  EXPECT_TRUE(config.run.overlap_checkpoints);
  const std::string other =
      failure(std::string("[run]\ncheckpoint_every = 500\nkeep_checkpoints_every = 1200\n") + kStage);
  for (const char* said : {"1200", "500", "keep_checkpoints_every", "multiple"}) {
    EXPECT_THAT(other, HasSubstr(said));
  }
  EXPECT_THAT(failure(std::string("[run]\nkeep_checkpoints_every = 1200\n") + kStage),
              HasSubstr("end of each stage"));
}

TEST(RunConfig, HandOverIsANameOrATable) {
  const RunConfig config = resolve(std::string("[start]\ncheckpoint = \"a.h5\"\n") + kStage + R"(
hand_over = "weights"
[[stage]]
name = "b"
steps = 1
resolution = 16
batch = 8
learning_rate = 1e-3
[stage.hand_over]
name = "dit-reparameterise"
timestep = 20
)");
  EXPECT_EQ(config.stages[0].hand_over.get_string("hand_over.name"), "weights");
  EXPECT_EQ(config.stages[1].hand_over.get_string("hand_over.name"), "dit-reparameterise");
  EXPECT_TRUE(config.stages[1].hand_over.has("hand_over.timestep"));
  EXPECT_EQ(config.stages[1].hand_over.where("hand_over.name"), "run.toml:21, key 'stage.1.hand_over.name'");
  ASSERT_TRUE(config.start.has_value());
  EXPECT_EQ(config.start->checkpoint, "a.h5");
  EXPECT_EQ(config.start->hand_over.get_string("hand_over.name"), "weights");
  EXPECT_EQ(resolve(kStage).stages[0].hand_over.get_string("hand_over.name"), "full");
  EXPECT_FALSE(resolve(kStage).start.has_value());
  EXPECT_THAT(failure(std::string("[start]\nweights = \"average\"\n") + kStage),
              HasSubstr("start.checkpoint"));
}

TEST(RunConfig, AStageHasSamplesOfItsOwn) {
  const std::string run = "[run]\nsample_prompts = [\"x\", \"y\"]\nsample_guidance = 4.0\nsample_seed = 3\n";
  const SampleSettings own =
      resolve(run + kStage + "sample_prompts = [\"z\"]\nsample_guidance = 2.0\n").stages[0].sample;
  EXPECT_EQ(own.prompts, std::vector<std::string>{"z"});
  EXPECT_EQ(own.guidance, 2.0);
  EXPECT_EQ(own.seed, 3U);
  const SampleSettings inherited = resolve(run + kStage).stages[0].sample;
  EXPECT_EQ(inherited.prompts.size(), 2U);
  EXPECT_EQ(inherited.guidance, 4.0);
}

constexpr const char* kModels = R"(
[codec]
name = "pixel"
[text_encoder]
name = "word-hash"
[model.backbone]
name = "dit"
width = 32
depth = 2
head_dim = 16
[model.masking]
name = "random"
[model.feed_forward]
name = "gelu-mlp"
[model.experts]
name = "moe-expert-choice"
experts = 2
[model.modulation]
name = "adaln"
activation = "silu"
[model.caption]
name = "attention-pooled"
[model.patch_mixer]
name = "patch-mixer"
width = 32
depth = 1
[objective]
name = "edm"
[sampler]
name = "edm-heun"
[[stage]]
name = "a"
steps = 1
resolution = 16
batch = 8
learning_rate = 1e-3
[stage.model.caption]
name = "none"
[stage.model.patch_mixer]
name = "none"
[stage.model.auxiliary]
name = "class-label"
classes = 7
[[stage]]
name = "b"
steps = 1
resolution = 16
batch = 8
learning_rate = 1e-3
objective = { p_mean = 0.5 }
[stage.model.modulation]
name = "adaln-single"
[stage.model.backbone]
depth = 3
)";

std::vector<ConfigTree> made_by(const Registry& registry, const RunConfig& config) {
  std::vector<ConfigTree> made;
  for (std::size_t i = 0; i < config.stages.size(); ++i) {
    made.push_back(RunComponents(registry, config.stage_tree(i)).resolved());
  }
  return made;
}

TEST(RunConfig, TheResolvedConfigurationBuildsEveryStagesModel) {
  const Registry registry = Registry::with_installed_plugins();
  const RunConfig config = resolve(kModels);
  const std::vector<ConfigTree> made = made_by(registry, config);
  EXPECT_EQ(made[0].get_string("model.caption.name"), "none");
  EXPECT_EQ(made[0].get_string("model.patch_mixer.name"), "none");
  EXPECT_EQ(made[1].get_string("model.patch_mixer.name"), "patch-mixer");
  EXPECT_FALSE(made[1].has("model.modulation.activation"));
  const std::string text = config.resolved(made).to_toml();
  const RunConfig again = RunConfig::resolve(ConfigTree::parse(text, "resolved"));
  const std::vector<ConfigTree> made_again = made_by(registry, again);
  ASSERT_EQ(made_again.size(), made.size());
  for (std::size_t i = 0; i < made.size(); ++i) EXPECT_EQ(made_again[i], made[i]) << i;
  EXPECT_EQ(again.resolved(made_again).to_toml(), text);
}

TEST(RunConfig, NamesUnknownTablesOfAStagesModel) {
  const Registry registry = Registry::with_installed_plugins();
  const RunConfig config = resolve(std::string(kModels) + "[stage.model.captoin]\nname = \"none\"\n");
  try {
    (void)config.resolved(made_by(registry, config));
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("stage.1.model.captoin"));
    EXPECT_THAT(error.what(), HasSubstr("Did you mean 'caption'"));
  }
}

}  // namespace
}  // namespace tessera::train
