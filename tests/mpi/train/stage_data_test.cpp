// Stages that train on data of their own.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mpi/train/common_folder.hpp"
#include "mpi/train/run_checks.hpp"
#include "mpi/train/toy_run.hpp"

namespace tessera::test {
namespace {

using comm::Communicator;
using testing::HasSubstr;

/// The class-conditional stage has data of its own, whose captions come from another text encoder.
struct TwoDataSets {
  explicit TwoDataSets(const Communicator& world) : folder(world) {
    if (world.rank() == 0) {
      make_toy_data(folder / "captioned");
      make_toy_data(folder / "classes", false, {"text_encoder.width=3", "text_encoder.length=1"});
    }
    world.barrier();
  }
  [[nodiscard]] ConfigTree configuration(const std::string& precision) const {
    ConfigTree tree = staged_configuration(folder / "captioned", precision);
    tree.set("stage.0.data.path", FieldValue(std::vector<std::string>{folder / "classes"}));
    return tree;
  }
  CommonFolder folder;
};

TEST(StageData, EveryNumberOfRanksGivesTheSameCurve) {
  const Communicator world = Communicator::world();
  const TwoDataSets data(world);
  const ConfigTree tree = data.configuration("float64");
  if (world.rank() == 0) run_tree(world.alone(), tree, data.folder / "one");
  world.barrier();
  run_tree(world, tree, data.folder / "all");
  EXPECT_LT(difference(losses(data.folder / "all"), losses(data.folder / "one")), 1e-9);
  // The configuration that a run writes down is the run's.
  ConfigTree written = ConfigTree::load({data.folder / "all/config.toml"});
  run_tree(world, written, data.folder / "again");
  EXPECT_EQ(losses(data.folder / "again"), losses(data.folder / "all"));
}

TEST(StageData, AnInterruptedRunEndsInTheSameBits) {
  const Communicator world = Communicator::world();
  const TwoDataSets data(world);
  const ConfigTree tree = data.configuration("float32");
  run_tree(world, tree, data.folder / "whole");
  run_with_cuts(world, tree, data.folder / "cut", {7, 8, 9, 13, 17, 24, 29}, 5);
  EXPECT_EQ(final_bits(data.folder / "cut"), final_bits(data.folder / "whole"));
  EXPECT_EQ(losses(data.folder / "cut"), losses(data.folder / "whole"));
}

TEST(StageData, IsCheckedBeforeTheFirstStep) {
  const Communicator world = Communicator::world();
  const TwoDataSets data(world);
  const auto failure = [&](const std::string& setting) -> std::string {
    try {
      run_tree(world, data.configuration("float32"), data.folder / "run", true, {}, {setting});
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  };
  EXPECT_THAT(failure("stage.2.data.path=[\"" + (data.folder / "none") + "\"]"), HasSubstr("none"));
  // Stage 'captions' reads captions, so their encoder counts.
  EXPECT_THAT(failure("stage.1.data.path=[\"" + (data.folder / "classes") + "\"]"), HasSubstr("word-hash"));
  EXPECT_TRUE(losses(data.folder / "run").empty());
}

}  // namespace
}  // namespace tessera::test
