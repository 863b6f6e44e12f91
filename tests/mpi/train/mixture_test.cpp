// Runs on mixed data: weights act on the loss, and ranks and cuts change nothing.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mpi/train/common_folder.hpp"
#include "mpi/train/run_checks.hpp"
#include "mpi/train/toy_run.hpp"

namespace tessera::test {
namespace {

using comm::Communicator;
using testing::HasSubstr;

struct Mixed : testing::Test {
  Mixed() : world(Communicator::world()), folder(world) {
    make_data(world, folder / "data");
    make_data(world, folder / "more");
    make_data(world, folder / "other", false, 2);
  }
  [[nodiscard]] ConfigTree tree(const std::string& precision, const std::string& mix) const {
    ConfigTree tree = toy_configuration(folder / "data", precision);
    for (const char* setting :
         {"stage.0.steps=6", "stage.0.warmup=2", "stage.1.steps=5", "stage.1.ema_start=2"}) {
      tree.set(setting);
    }
    tree.set("data.mix=[{path=\"" + (folder / "more") + "\"," + mix + "}]");
    return tree;
  }
  Communicator world;
  CommonFolder folder;
};

TEST_F(Mixed, EveryNumberOfRanksGivesTheSameCurve) {
  const ConfigTree mixed = tree("float64", "share=0.3,weight=0.5");
  if (world.rank() == 0) run_tree(world.alone(), mixed, folder / "one");
  world.barrier();
  run_tree(world, mixed, folder / "all");
  EXPECT_LT(difference(losses(folder / "all"), losses(folder / "one")), 1e-9);
}

TEST_F(Mixed, AnInterruptedRunEndsInTheSameBits) {
  const ConfigTree mixed = tree("float32", "share=0.3,weight=0.5");
  run_tree(world, mixed, folder / "whole");
  run_with_cuts(world, mixed, folder / "cut", {1, 5, 8}, 2);
  EXPECT_EQ(final_bits(folder / "cut"), final_bits(folder / "whole"));
  EXPECT_EQ(losses(folder / "cut"), losses(folder / "whole"));
}

TEST_F(Mixed, WeightsActOnTheLossAndOnTheGradient) {
  const auto run = [&](const std::string& name, const std::string& weight,
                       const std::vector<std::string>& settings) {
    ConfigTree mixed = tree("float64", "share=0.4,weight=" + weight);
    mixed.merge(
        ConfigTree::parse("[[stage]]\nname = \"one\"\nsteps = 3\nresolution = 16\nbatch = 5\n"
                          "learning_rate = 0.0\n",
                          "stage"));
    run_tree(world, mixed, folder / name, false, {}, settings);
    world.barrier();
    return losses(folder / name);
  };
  const std::vector<double> none = run("none", "0.0", {});
  const std::vector<double> half = run("half", "0.5", {});
  const std::vector<double> full = run("full", "1.0", {});
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_GT(full[i], none[i]);
    EXPECT_NEAR(half[i], (none[i] + full[i]) / 2, 1e-12);
  }
  // Pictures without weight have no gradient: the curve is that of any others in their place.
  const std::vector<double> moving = run("moving", "0.0", {"stage.0.learning_rate=1e-2"});
  EXPECT_NE(moving[1], none[1]);
  EXPECT_EQ(
      run("same", "0.0", {"stage.0.learning_rate=1e-2", "data.mix.0.path=[\"" + (folder / "other") + "\"]"}),
      moving);
  EXPECT_NE(run("full-moving", "1.0", {"stage.0.learning_rate=1e-2"})[2], moving[2]);
}

TEST_F(Mixed, WhatCannotWorkFailsBeforeTheFirstStep) {
  const auto failure = [&](ConfigTree refused, const std::vector<std::string>& settings) -> std::string {
    try {
      run_tree(world, refused, folder / "refused", true, {}, settings);
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  };
  EXPECT_THAT(failure(tree("float32", "share=0.01"), {}), HasSubstr("room for none of part 1"));
  EXPECT_THAT(failure(tree("float32", "share=0.01"), {}), HasSubstr("stage 'small'"));
  EXPECT_THAT(failure(tree("float32", "share=1.5"), {}), HasSubstr("share"));
  EXPECT_THAT(failure(tree("float32", "share=0.3,wieght=2.0"), {}), HasSubstr("did you mean 'weight'"));
  EXPECT_THAT(failure(tree("float32", "share=0.5"), {"stage.0.aspect_buckets=true"}), HasSubstr("aspect"));
  ConfigTree two = toy_configuration(folder / "data", "float32");
  two.set("data.mix=[{path=\"x\",share=0.6},{path=\"y\",share=0.6}]");
  EXPECT_THAT(failure(two, {}), HasSubstr("leaves nothing"));
  EXPECT_TRUE(losses(folder / "refused").empty());
}

}  // namespace
}  // namespace tessera::test
