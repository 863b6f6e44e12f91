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
  EXPECT_EQ(config.run.non_finite, NonFinite::stop);
  EXPECT_EQ(config.data.path, std::vector<std::string>{"shards"});
  EXPECT_EQ(config.data.caption_drop, 0.1);
  EXPECT_EQ(config.optimizer.beta2, 0.99);
  EXPECT_EQ(config.optimizer.weight_decay, 0.1);
  ASSERT_EQ(config.stages.size(), 1U);
  const StageSettings& stage = config.stages[0];
  EXPECT_EQ(stage.learning_rate.decay_steps, 100);  // the stage's own length
  EXPECT_EQ(stage.hand_over, HandOver::weights);
  EXPECT_TRUE(stage.objective.has("p_mean"));
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
  EXPECT_THAT(failure(std::string(kStage) + "schedule = \"cosine\"\nwarmup = 100\n"), HasSubstr("warm-up"));
}

}  // namespace
}  // namespace tessera::train
