#include "train/data_position.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tessera::train {
namespace {

using testing::HasSubstr;

/// Stages on data a, b, a, a: 3 steps of 5, 4 of 7, 2 of 11, 6 of 2.
RunConfig config() {
  return RunConfig::resolve(ConfigTree::parse(R"(
[data]
path = "a"
caption_drop = 0.2
window_shards = 4
[[stage]]
name = "one"
steps = 3
resolution = 16
batch = 5
learning_rate = 1e-3
[[stage]]
name = "two"
steps = 4
resolution = 16
batch = 7
learning_rate = 1e-3
data = { path = "b", label = "group" }
[[stage]]
name = "three"
steps = 2
resolution = 16
batch = 11
learning_rate = 1e-3
[stage.data]
caption_drop = 0.0
[[stage]]
name = "four"
steps = 6
resolution = 16
batch = 2
learning_rate = 1e-3
)",
                                              "run.toml"));
}

TEST(DataPosition, CountsWhatWasDrawnFromTheSameData) {
  const RunConfig run = config();
  const auto at = [&](std::int64_t stage, std::int64_t seen) {
    checkpoint::RunState state;
    state.stage = stage;
    state.samples_seen = seen;
    return data_position(run, state);
  };
  EXPECT_EQ(at(0, 10).draws, 10U);
  EXPECT_EQ(at(1, 15).draws, 0U);
  EXPECT_EQ(at(1, 15 + 14).draws, 14U);
  EXPECT_TRUE(at(1, 29).earlier.empty());
  EXPECT_EQ(at(2, 15 + 28).draws, 15U);
  EXPECT_EQ(at(2, 15 + 28 + 11).draws, 26U);
  const DataPosition last = at(3, 15 + 28 + 22 + 4);
  EXPECT_EQ(last.draws, 15U + 22U + 4U);
  ASSERT_EQ(last.earlier.size(), 2U);
  EXPECT_EQ(last.earlier[0].global_batch, 5U);
  EXPECT_EQ(last.earlier[0].steps, 3U);
  EXPECT_EQ(last.earlier[1].global_batch, 11U);
  EXPECT_EQ(last.earlier[1].steps, 2U);
}

TEST(DataPosition, RefusesEarlierStagesThatGrew) {
  checkpoint::RunState state;
  state.stage = 2;
  state.samples_seen = 20;
  try {
    (void)data_position(config(), state);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("'three' now have 8 pictures more"));
  }
}

TEST(StageData, IsThatOfTheRunWhereTheStageSaysNothing) {
  const RunConfig run = config();
  EXPECT_EQ(run.stages[0].data.path, std::vector<std::string>{"a"});
  EXPECT_EQ(run.stages[0].data.caption_drop, 0.2);
  EXPECT_EQ(run.stages[1].data.path, std::vector<std::string>{"b"});
  EXPECT_EQ(run.stages[1].data.label, LabelKind::group);
  EXPECT_EQ(run.stages[1].data.caption_drop, 0.2);
  EXPECT_EQ(run.stages[1].data.window_shards, 4);
  EXPECT_EQ(run.stages[2].data.path, std::vector<std::string>{"a"});
  EXPECT_EQ(run.stages[2].data.caption_drop, 0.0);
}

TEST(StageData, NamesWhatItDoesNotKnow) {
  ConfigTree tree = config().tree;
  tree.set("stage.1.data.caption_drap=0.5");
  try {
    (void)RunConfig::resolve(tree);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("caption_drop"));
  }
}

}  // namespace
}  // namespace tessera::train
