// A run is the same, up to the rounding of sums, for every number of ranks, and the same bits when it was
// interrupted.
#include <gtest/gtest.h>

#include <csignal>

#include "mpi/train/common_folder.hpp"
#include "mpi/train/run_checks.hpp"
#include "mpi/train/toy_run.hpp"

namespace tessera::test {
namespace {

using checkpoint::Description;
using comm::Communicator;

ExitCode run_toy(const Communicator& world, const std::string& data, const std::string& precision,
                 const std::string& out, bool resume = false, const train::Hooks& hooks = {},
                 const std::vector<std::string>& settings = {}) {
  return run_tree(world, toy_configuration(data, precision), out, resume, hooks, settings);
}

void expect_same_curve(const std::string& precision, double tolerance) {
  const Communicator world = Communicator::world();
  const CommonFolder folder(world);
  make_data(world, folder / "data");
  if (world.rank() == 0) {
    EXPECT_EQ(run_toy(world.alone(), folder / "data", precision, folder / "one"), ExitCode::done);
  }
  world.barrier();
  EXPECT_EQ(run_toy(world, folder / "data", precision, folder / "all"), ExitCode::done);
  const std::vector<double> one = losses(folder / "one");
  ASSERT_EQ(one.size(), 50U);
  const double worst = difference(losses(folder / "all"), one);
  EXPECT_LT(worst, tolerance);
  if (world.rank() == 0) {
    std::printf("%s, %d ranks: largest relative difference of a loss %.2e\n", precision.c_str(), world.size(),
                worst);
    testing::Test::RecordProperty("difference", std::to_string(worst));
  }
}

TEST(Train, EveryNumberOfRanksGivesTheSameCurveInFloat64) { expect_same_curve("float64", 1e-9); }
TEST(Train, EveryNumberOfRanksGivesTheSameCurveInFloat32) { expect_same_curve("float32", 1e-4); }

TEST(Train, TheCurveShowsWhatTheWeightsDo) {
  const Communicator world = Communicator::world();
  const CommonFolder folder(world);
  make_data(world, folder / "data");
  run_toy(world, folder / "data", "float64", folder / "learning");
  run_toy(world, folder / "data", "float64", folder / "idle", false, {},
          {"stage.0.learning_rate=0.0", "stage.1.learning_rate=0.0"});
  EXPECT_GT(difference(losses(folder / "learning"), losses(folder / "idle")), 0.05);
}

TEST(Train, MicroBatchesChangeNothing) {
  const Communicator world = Communicator::world();
  const CommonFolder folder(world);
  make_data(world, folder / "data");
  run_toy(world, folder / "data", "float64", folder / "two");
  run_toy(world, folder / "data", "float64", folder / "whole", false, {}, {"stage.0.micro_batch=0"});
  EXPECT_LT(difference(losses(folder / "two"), losses(folder / "whole")), 1e-9);
}

TEST(Train, AnInterruptedRunEndsInTheSameBits) {
  const Communicator world = Communicator::world();
  const CommonFolder folder(world);
  make_data(world, folder / "data");
  run_toy(world, folder / "data", "float32", folder / "whole");
  // Cut in both stages, before and after the average began, between checkpoints and right after one.
  run_with_cuts(world, toy_configuration(folder / "data", "float32"), folder / "cut", {10, 28, 40}, 9);
  EXPECT_EQ(final_bits(folder / "cut"), final_bits(folder / "whole"));
  EXPECT_EQ(losses(folder / "cut"), losses(folder / "whole"));
}

TEST(Train, AnyNumberOfRanksGoesOnWithACheckpoint) {
  const Communicator world = Communicator::world();
  const CommonFolder folder(world);
  make_data(world, folder / "data");
  if (world.rank() == 0) {
    run_toy(world.alone(), folder / "data", "float64", folder / "one");
    // Stops itself at once: the limit is far below one step.
    EXPECT_EQ(run_toy(world.alone(), folder / "data", "float64", folder / "two", false, {},
                      {"run.max_minutes=1e-9"}),
              ExitCode::resume_later);
  }
  world.barrier();
  EXPECT_EQ(run_toy(world, folder / "data", "float64", folder / "two", true), ExitCode::done);
  EXPECT_LT(difference(losses(folder / "two"), losses(folder / "one")), 1e-9);
}

TEST(Train, ASignalStopsWithACheckpoint) {
  const Communicator world = Communicator::world();
  const CommonFolder folder(world);
  make_data(world, folder / "data");
  train::Hooks hooks;
  hooks.sample = [&](const train::SampleRequest& request) -> io::Image {
    if (request.global_step == 9 && request.world.rank() == request.world.size() - 1) std::raise(SIGUSR1);
    return {};
  };
  EXPECT_EQ(run_toy(world, folder / "data", "float32", folder / "run", false, hooks,
                    {"run.sample_every=1", "run.sample_prompts=[\"a\"]"}),
            ExitCode::resume_later);
  const auto found = checkpoint::newest_intact(folder / "run/checkpoints");
  EXPECT_EQ(found.value().description.state.global_step, 10);
  EXPECT_EQ(losses(folder / "run").size(), 10U);
}

TEST(Train, FallsBackFromADamagedCheckpoint) {
  const Communicator world = Communicator::world();
  const CommonFolder folder(world);
  make_data(world, folder / "data");
  run_toy(world, folder / "data", "float32", folder / "run");
  const std::vector<std::uint32_t> bits = final_bits(folder / "run");
  EXPECT_EQ(losses(folder / "run").size(), 50U);
  const auto files = checkpoint::list(folder / "run/checkpoints");
  ASSERT_EQ(files.size(), 2U);
  world.barrier();
  if (world.rank() == 0) {
    const Description description = checkpoint::describe(files[0]);
    const io::File file = io::File::open_update(files[0].string());
    const char wrong = '\x5a';
    file.write_at(&wrong, 1, description.tensors.back().offset + 3);
  }
  world.barrier();
  EXPECT_EQ(run_toy(world, folder / "data", "float32", folder / "run", true), ExitCode::done);
  EXPECT_EQ(final_bits(folder / "run"), bits);
  EXPECT_NE(io::read_file(folder / "run/log.txt").find("Falling back"), std::string::npos);
}

TEST(Train, RefusesAFolderThatHoldsARun) {
  const Communicator world = Communicator::world();
  const CommonFolder folder(world);
  make_data(world, folder / "data");
  const std::vector<std::string> short_run{"stage.0.steps=6", "stage.1.steps=1"};
  run_toy(world, folder / "data", "float32", folder / "run", false, {}, short_run);
  EXPECT_THROW(run_toy(world, folder / "data", "float32", folder / "run", false, {}, short_run), Error);
}

TEST(Train, FindsWhatCannotWorkBeforeTheFirstStep) {
  const Communicator world = Communicator::world();
  const CommonFolder folder(world);
  make_data(world, folder / "data");
  const auto failure = [&](const std::string& setting) -> std::string {
    try {
      run_toy(world, folder / "data", "float32", folder / "run", true, {}, {setting});
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  };
  // All in the second stage, which would begin after 30 steps.
  EXPECT_NE(failure("stage.1.resolution=64").find("64"), std::string::npos);
  EXPECT_NE(failure("stage.1.objective.p_maen=0.0").find("p_mean"), std::string::npos);
  EXPECT_NE(failure("stage.1.mask_ratio=0.99").find("mask_ratio"), std::string::npos);
  if (world.size() > 1) {
    EXPECT_NE(failure("stage.1.batch=1").find("number of ranks"), std::string::npos);
  }
  EXPECT_NE(failure("text_encoder.width=16").find("text encoder"), std::string::npos);
  EXPECT_NE(failure("model.bakbone.depth=3").find("backbone"), std::string::npos);
  EXPECT_TRUE(losses(folder / "run").empty());
  EXPECT_THROW(run_toy(world, folder / "data", "float32", "/proc/run"), Error);
}

TEST(Train, SaysWhenTheLossIsNotFinite) {
  const Communicator world = Communicator::world();
  const CommonFolder folder(world);
  make_data(world, folder / "data");
  // float32 overflows at many of these noise levels.
  const std::vector<std::string> wild{"objective.p_mean=20.0", "objective.p_std=20.0", "stage.0.steps=8",
                                      "stage.1.steps=1", "stage.1.objective.p_std=1.0"};
  try {
    run_toy(world, folder / "data", "float32", folder / "run", false, {}, wild);
    ADD_FAILURE() << "the run should have stopped";
  } catch (const Error& error) {
    EXPECT_NE(error.summary().find("not a finite number"), std::string::npos) << error.what();
  }
  world.barrier();
  std::vector<std::string> skipping = wild;
  skipping.emplace_back("run.non_finite=skip");
  EXPECT_EQ(run_toy(world, folder / "data", "float32", folder / "skipped", false, {}, skipping),
            ExitCode::done);
  const auto found = checkpoint::newest_intact(folder / "skipped/checkpoints");
  EXPECT_EQ(found.value().description.state.global_step, 9);
  EXPECT_LT(found.value().description.state.optimizer_updates, 9);
}

}  // namespace
}  // namespace tessera::test
