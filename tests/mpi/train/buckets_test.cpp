// Training on pictures of several aspect ratios promises what training on one does.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "data/loader.hpp"
#include "generate/sample_hook.hpp"
#include "mpi/train/common_folder.hpp"
#include "mpi/train/run_checks.hpp"
#include "mpi/train/toy_run.hpp"

namespace tessera::test {
namespace {

using comm::Communicator;
using testing::HasSubstr;

struct Buckets : testing::Test {
  Buckets() : world(Communicator::world()), folder(world) { make_data(world, folder / "data", true); }
  Communicator world;
  CommonFolder folder;
};

TEST_F(Buckets, StepsSeeAllShapes) {
  const ConfigTree tree = bucketed(toy_configuration(folder / "data", "float32"));
  const auto config = train::RunConfig::resolve(tree);
  const auto dataset = std::make_shared<const data::Dataset>(config.data.path);
  ASSERT_EQ(dataset->buckets().size(), 3U);
  data::Loader loader(dataset, {.resolution = 16, .buckets = true, .global_batch = 7});
  std::set<double> ratios;
  for (int step = 0; step < 30; ++step) ratios.insert(loader.next().ratio);
  EXPECT_EQ(ratios.size(), 3U);
}

TEST_F(Buckets, EveryNumberOfRanksGivesTheSameCurve) {
  for (const bool staged : {false, true}) {
    const ConfigTree tree = bucketed(staged ? staged_configuration(folder / "data", "float64")
                                            : toy_configuration(folder / "data", "float64"));
    const std::string name = staged ? "staged" : "toy";
    if (world.rank() == 0) run_tree(world.alone(), tree, folder / (name + "-one"));
    world.barrier();
    run_tree(world, tree, folder / (name + "-all"));
    const double worst = difference(losses(folder / (name + "-all")), losses(folder / (name + "-one")));
    EXPECT_LT(worst, 1e-9);
    if (world.rank() == 0) {
      std::printf("%s in buckets, %d ranks: largest relative difference of a loss %.2e\n", name.c_str(),
                  world.size(), worst);
    }
  }
}

TEST_F(Buckets, MicroBatchesChangeNothing) {
  const ConfigTree tree = bucketed(toy_configuration(folder / "data", "float64"));
  run_tree(world, tree, folder / "two");
  run_tree(world, tree, folder / "whole", false, {}, {"stage.0.micro_batch=0"});
  EXPECT_LT(difference(losses(folder / "two"), losses(folder / "whole")), 1e-9);
}

TEST_F(Buckets, AnInterruptedRunEndsInTheSameBits) {
  const ConfigTree tree = bucketed(staged_configuration(folder / "data", "float32"));
  run_tree(world, tree, folder / "whole");
  run_with_cuts(world, tree, folder / "cut", {3, 9, 16, 24, 29}, 4);
  EXPECT_EQ(final_bits(folder / "cut"), final_bits(folder / "whole"));
  EXPECT_EQ(losses(folder / "cut"), losses(folder / "whole"));
}

TEST_F(Buckets, AnyNumberOfRanksGoesOnWithACheckpoint) {
  const ConfigTree tree = bucketed(toy_configuration(folder / "data", "float64"));
  if (world.rank() == 0) {
    run_tree(world.alone(), tree, folder / "one");
    EXPECT_EQ(run_tree(world.alone(), tree, folder / "two", false, {}, {"run.max_minutes=1e-9"}),
              ExitCode::resume_later);
  }
  world.barrier();
  EXPECT_EQ(run_tree(world, tree, folder / "two", true), ExitCode::done);
  EXPECT_LT(difference(losses(folder / "two"), losses(folder / "one")), 1e-9);
}

TEST_F(Buckets, SampleGridsShowTheShapesThatTheStageNames) {
  train::Hooks hooks;
  std::vector<io::Image> grids;
  hooks.sample = [&](const train::SampleRequest& request) {
    io::Image grid = generate::sample_grid(request);
    if (world.rank() == 0) grids.push_back(grid);
    return grid;
  };
  const std::vector<std::string> base{"stage.0.steps=6", "stage.1.steps=2", "run.sample_steps=2",
                                      "run.sample_prompts=[\"a\", \"b\"]"};
  std::vector<std::string> wide = base;
  wide.emplace_back("stage.0.sample_aspects=[\"2:1\"]");
  wide.emplace_back("stage.1.sample_aspects=[\"1:1\", \"1:2\"]");
  run_tree(world, bucketed(toy_configuration(folder / "data", "float32")), folder / "run", false, hooks,
           wide);
  if (world.rank() != 0) return;
  ASSERT_EQ(grids.size(), 2U);  // at the end of each stage
  EXPECT_GT(grids[0].width, grids[0].height);
  EXPECT_GT(grids[1].height, grids[0].height);
}

TEST_F(Buckets, WhatCannotWorkFailsBeforeTheFirstStep) {
  const auto failure = [&](const ConfigTree& tree, const std::vector<std::string>& settings) -> std::string {
    try {
      run_tree(world, tree, folder / "run", true, {}, settings);
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  };
  const ConfigTree tree = bucketed(toy_configuration(folder / "data", "float32"));
  const std::string one_shape = failure(tree, {"stage.1.aspect_buckets=false"});
  EXPECT_THAT(one_shape, HasSubstr("3 aspect ratios"));
  EXPECT_THAT(one_shape, HasSubstr("aspect_buckets = true"));
  EXPECT_THAT(one_shape, HasSubstr("stage 'large'"));
  const std::string patch = failure(tree, {"model.backbone.patch=8"});
  EXPECT_THAT(patch, HasSubstr("aspect bucket"));
  EXPECT_THAT(patch, HasSubstr("--unit"));
  EXPECT_THAT(failure(tree, {"stage.0.mask_ratio=0.99"}), HasSubstr("mask_ratio"));
  const std::string shape = failure(tree, {"stage.1.sample_aspects=[\"2x1\"]"});
  EXPECT_THAT(shape, HasSubstr("'2x1'"));
  EXPECT_THAT(shape, HasSubstr("stage.1.sample_aspects"));
  EXPECT_TRUE(losses(folder / "run").empty());
}

}  // namespace
}  // namespace tessera::test
