// What goes wrong during training is survived, and so that the run is the same on every number of ranks and
// in the same bits after every resume.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <iostream>

#include "base/activity.hpp"
#include "comm/job.hpp"
#include "data/shard_reader.hpp"
#include "mpi/train/common_folder.hpp"
#include "mpi/train/run_checks.hpp"
#include "mpi/train/toy_run.hpp"
#include "train/step_faults.hpp"

namespace tessera::test {
namespace {

using comm::Communicator;
using testing::HasSubstr;

/// Noise levels at which some steps of the second stage overflow in float32, different ones in every attempt.
ConfigTree overflowing(const std::string& data) {
  ConfigTree tree = toy_configuration(data, "float32");
  for (const char* setting :
       {"stage.0.steps=12", "stage.1.steps=12", "stage.1.objective.p_mean=18.6", "run.seed=1",
        "stage.1.objective.p_std=20.0", "run.non_finite=skip", "run.skip_limit=2", "run.skip_window=8",
        "run.rollbacks=100", "run.checkpoint_every=9"}) {
    tree.set(setting);
  }
  return tree;
}

nlohmann::json last_line(const std::string& run) {
  std::ifstream file(run + "/metrics.jsonl");
  std::string last;
  for (std::string line; std::getline(file, line);) last = line;
  return nlohmann::json::parse(last);
}

std::string failure_of(const std::function<void()>& run) {
  try {
    run();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(Faults, TooManyStepsLeftOutBringTheRunBack) {
  const Communicator world = Communicator::world();
  const CommonFolder folder(world);
  make_data(world, folder / "data");
  const ConfigTree tree = overflowing(folder / "data");
  ASSERT_EQ(run_tree(world, tree, folder / "whole"), ExitCode::done);
  const auto last = last_line(folder / "whole");
  EXPECT_GT(last["attempt"].get<int>(), 0);
  EXPECT_GE(last["skipped"].get<int>(), 2 * last["attempt"].get<int>());
  const auto state = checkpoint::newest_intact(folder / "whole/checkpoints").value().description.state;
  EXPECT_EQ(state.global_step, 24);
  EXPECT_EQ(state.attempt, state.faults.rollbacks);
  EXPECT_EQ(state.attempt, last["attempt"].get<int>());
  // Across the hand-over, too.
  EXPECT_NE(io::read_file(folder / "whole/log.txt").find("step-00000012.h5: stage 'small'"),
            std::string::npos);
  if (world.rank() == 0) {
    std::printf("%d ranks: back %d times, %d steps left out\n", world.size(), last["attempt"].get<int>(),
                last["skipped"].get<int>());
  }
  EXPECT_EQ(losses_with_gaps(folder / "whole").size(), 24U);

  // Cut before, between and after roll-backs.
  run_with_cuts(world, tree, folder / "cut", {7, 13, 16, 19, 22}, 9);
  EXPECT_EQ(final_bits(folder / "cut"), final_bits(folder / "whole"));
  EXPECT_EQ(losses_with_gaps(folder / "cut"), losses_with_gaps(folder / "whole"));
  EXPECT_EQ(last_line(folder / "cut")["skipped"], last["skipped"]);
  EXPECT_EQ(last_line(folder / "cut")["attempt"], last["attempt"]);
}

TEST(Faults, AStopBetweenCheckpointsChangesNoRollBack) {
  const Communicator world = Communicator::world();
  if (world.size() > 2) GTEST_SKIP() << "many short runs, the same on more ranks";
  const CommonFolder folder(world);
  make_data(world, folder / "data");
  const ConfigTree tree = overflowing(folder / "data");
  ASSERT_EQ(run_tree(world, tree, folder / "whole"), ExitCode::done);
  for (int stops = 0; stops < 200; ++stops) {  // after every single step, with a checkpoint there
    const ExitCode code = run_tree(world, tree, folder / "stopped", stops > 0, {}, {"run.max_minutes=1e-9"});
    if (code == ExitCode::done) break;
    ASSERT_EQ(code, ExitCode::resume_later);
  }
  EXPECT_EQ(final_bits(folder / "stopped"), final_bits(folder / "whole"));
  EXPECT_EQ(losses_with_gaps(folder / "stopped"), losses_with_gaps(folder / "whole"));
}

TEST(Faults, AfterTheLastRollBackTheRunStops) {
  const Communicator world = Communicator::world();
  const CommonFolder folder(world);
  make_data(world, folder / "data");
  const std::string error = failure_of([&] {
    (void)run_tree(world, overflowing(folder / "data"), folder / "run", false, {},
                   {"stage.1.objective.p_mean=20.0", "stage.1.objective.p_std=20.0", "run.skip_window=12",
                    "run.rollbacks=2"});
  });
  EXPECT_THAT(error, HasSubstr("gone back 2 times"));
  EXPECT_THAT(error, HasSubstr("step-00000012.h5"));
  EXPECT_THAT(error, HasSubstr("not a finite number"));
}

TEST(Faults, AnExplodingNormIsLeftOut) {
  const Communicator world = Communicator::world();
  const CommonFolder folder(world);
  make_data(world, folder / "data");
  constexpr double limit = 1.3;  // so low that ordinary steps exceed it
  ASSERT_EQ(run_tree(world, toy_configuration(folder / "data", "float64"), folder / "run", false, {},
                     {"run.norm_limit=1.3", "stage.0.clip_norm=0.0", "stage.1.clip_norm=0.0"}),
            ExitCode::done);
  std::ifstream file(folder / "run/metrics.jsonl");
  double mean = 0;
  int taken = 0, skipped = 0;
  for (std::string line; std::getline(file, line);) {
    const auto report = nlohmann::json::parse(line);
    const double norm = report["gradient_norm"].get<double>();
    if (taken >= 20 && norm > limit * mean) {
      ++skipped;
      EXPECT_EQ(report["clip"], 0);
    } else {
      EXPECT_EQ(report["clip"], 1);
      mean = (mean * taken + norm) / (taken + 1);  // fewer than the mean remembers
      ++taken;
    }
    EXPECT_EQ(report["skipped"], skipped) << line;
  }
  EXPECT_GT(skipped, 0);
  EXPECT_GT(taken, 20);
  const auto state = checkpoint::newest_intact(folder / "run/checkpoints").value().description.state;
  EXPECT_EQ(state.optimizer_updates, taken);
}

/// Flips a bit of one value of records of the first shard, at the first resolution.
void damage(const Communicator& world, const std::string& shard, const std::vector<std::uint64_t>& records) {
  world.barrier();
  if (world.rank() == 0) {
    const data::ShardInfo info = data::inspect_shard(shard);
    const data::ShardBucket& bucket = info.layout.buckets.front();
    const std::uint64_t bytes =
        info.header.latent_values(bucket.grids[0]) * io::size_of(info.header.latent_type);
    const io::File file = io::File::open_update(shard);
    for (const std::uint64_t record : records) {
      char byte = 0;
      const std::uint64_t at = bucket.latents[0].offset + record * bytes + bytes / 2;
      file.read_at(&byte, 1, at);
      byte = static_cast<char>(byte ^ 4);
      file.write_at(&byte, 1, at);
    }
  }
  world.barrier();
}

const std::vector<std::string> short_run{"stage.0.steps=14", "stage.1.steps=2"};

TEST(Faults, ADamagedRecordIsNamed) {
  const Communicator world = Communicator::world();
  const CommonFolder folder(world);
  make_data(world, folder / "data");
  damage(world, folder / "data/shard-00000-of-00003.h5", {7});
  const std::string error = failure_of([&] {
    world.together([&] {
      if (world.rank() != 0) return;
      (void)run_tree(world.alone(), toy_configuration(folder / "data", "float32"), folder / "run", false, {},
                     short_run);
    });
  });
  EXPECT_THAT(error, HasSubstr("record 7 "));
  EXPECT_THAT(error, HasSubstr("shard-00000-of-00003.h5"));
  EXPECT_THAT(error, HasSubstr("checksum"));
}

TEST(Faults, AnotherRecordTakesTheDamagedOnesPlace) {
  const Communicator world = Communicator::world();
  const CommonFolder folder(world);
  make_data(world, folder / "data");
  const ConfigTree whole = toy_configuration(folder / "data", "float64");
  ConfigTree tree = whole;
  for (const std::string& setting : short_run) tree.set(setting);
  tree.set("data.damaged=skip");
  if (world.rank() == 0) (void)run_tree(world.alone(), tree, folder / "sound");
  damage(world, folder / "data/shard-00000-of-00003.h5", {2, 7});
  if (world.rank() == 0) {
    EXPECT_EQ(run_tree(world.alone(), tree, folder / "one"), ExitCode::done);
  }
  world.barrier();
  EXPECT_EQ(run_tree(world, tree, folder / "all"), ExitCode::done);
  EXPECT_LT(difference(losses(folder / "all"), losses(folder / "one")), 1e-9);
  EXPECT_GT(difference(losses(folder / "one"), losses(folder / "sound")), 1e-6);
  EXPECT_EQ(last_line(folder / "sound")["damaged"], 0);
  // 14 x 7 draws of 19 records: every one at least five times, and none is read again at the other size.
  const int replaced = last_line(folder / "one")["damaged"].get<int>();
  EXPECT_GE(replaced, 10);
  EXPECT_LE(replaced, 14);
  EXPECT_EQ(last_line(folder / "all")["damaged"], replaced);
  run_with_cuts(world, tree, folder / "cut", {4, 11}, 3);
  EXPECT_EQ(final_bits(folder / "cut"), final_bits(folder / "all"));
  EXPECT_EQ(last_line(folder / "cut")["damaged"], replaced);

  tree.set("data.damaged_limit=3");
  const std::string error = failure_of([&] { (void)run_tree(world, tree, folder / "too_many"); });
  EXPECT_THAT(error, HasSubstr("4 records were damaged"));
  EXPECT_THAT(error, HasSubstr("shard-00000-of-00003.h5, record "));
}

TEST(Faults, ATruncatedShardIsReplacedDuringTheRun) {
  const Communicator world = Communicator::world();
  const CommonFolder folder(world);
  make_data(world, folder / "data");
  const std::string shard = folder / "data/shard-00001-of-00003.h5";
  train::Hooks hooks;
  hooks.sample = [&](const train::SampleRequest& request) -> io::Image {
    if (request.global_step == 2 && request.world.rank() == 0)
      std::filesystem::resize_file(shard, std::filesystem::file_size(shard) / 2);
    request.world.barrier();
    return {};
  };
  std::vector<std::string> settings{"run.sample_every=1", "run.sample_prompts=[\"one\"]", "data.damaged=skip",
                                    "run.checkpoint_every=4"};
  settings.insert(settings.end(), short_run.begin(), short_run.end());
  const ConfigTree tree = toy_configuration(folder / "data", "float32");
  EXPECT_EQ(run_tree(world, tree, folder / "run", false, hooks, settings), ExitCode::done);
  EXPECT_GT(last_line(folder / "run")["damaged"].get<int>(), 0);
  // At the start the whole shard is looked at.
  EXPECT_THAT(failure_of([&] { (void)run_tree(world, tree, folder / "other", false, {}, settings); }),
              HasSubstr("shard-00001-of-00003.h5"));
}

TEST(Faults, AVanishedRunFolderIsNoticed) {
  const Communicator world = Communicator::world();
  const CommonFolder folder(world);
  make_data(world, folder / "data");
  train::Hooks hooks;
  hooks.sample = [&](const train::SampleRequest& request) -> io::Image {
    if (request.global_step == 3) std::filesystem::rename(folder / "run", folder / "elsewhere");
    return {};
  };
  const std::string error = failure_of([&] {
    world.together([&] {
      if (world.rank() != 0) return;
      (void)run_tree(world.alone(), toy_configuration(folder / "data", "float32"), folder / "run", false,
                     hooks, {"run.sample_every=1", "run.sample_prompts=[\"one\"]", "stage.0.steps=6"});
    });
  });
  EXPECT_THAT(error, HasSubstr("run/metrics.jsonl"));
  EXPECT_THAT(error, HasSubstr("gone"));
}

/// Not a test by itself: what faults.sh needs to start runs of the program: $TRAIN_PROBE/{data,toy.toml}.
TEST(Probe, DISABLED_Files) {
  const std::string root = std::getenv("TRAIN_PROBE");
  make_toy_data(root + "/data");
  io::replace_file(root + "/toy.toml", toy_configuration(root + "/data", "float32").to_toml());
}

/// Not a test by itself: whether the runs $TRAIN_PROBE_RUN and "whole" of $TRAIN_PROBE are the same.
TEST(Probe, DISABLED_Same) {
  const std::string root = std::getenv("TRAIN_PROBE");
  const std::string run = root + "/" + std::getenv("TRAIN_PROBE_RUN");
  EXPECT_EQ(losses(run), losses(root + "/whole"));
  EXPECT_EQ(final_bits(run), final_bits(root + "/whole"));
}

struct Fault {
  std::string words;
  int signal = 0;
  std::int64_t step = 0;
} fault;

/// Not a test by itself: the run of faults.sh to whose last rank something happens: $TRAIN_FAULT is a signal
/// that it sends itself, $TRAIN_FAULT_AT words of what it then does ("forward"), from step $TRAIN_FAULT_STEP
/// on. With SIGUSR2 its main thread does nothing any more.
TEST(Probe, DISABLED_Fault) {
  const Communicator world = Communicator::world();
  const std::string root = std::getenv("TRAIN_PROBE");
  fault = {std::getenv("TRAIN_FAULT_AT"), std::atoi(std::getenv("TRAIN_FAULT")),
           std::atoi(std::getenv("TRAIN_FAULT_STEP"))};
  if (fault.signal != 0 && world.rank() == world.size() - 1) {
    observe_activity([](const Activity& now) {
      if (now.step < fault.step || now.text.find(fault.words) == std::string::npos) return;
      while (fault.signal == SIGUSR2) ::pause();
      ::kill(::getpid(), fault.signal);
    });
  }
  train::Hooks hooks;
  hooks.hangs = [rank = world.rank()](const Error* error) {
    if (error != nullptr) std::cerr << "probe: rank " << rank << ": " << error->what() << std::endl;
    comm::abort_hanging_job(ExitCode::error, error != nullptr);
  };
  (void)run_tree(world, toy_configuration(root + "/data", "float32"),
                 root + "/" + std::getenv("TRAIN_PROBE_RUN"), true, hooks,
                 {"run.checkpoint_every=4", "run.watchdog_seconds=2"});
}

}  // namespace
}  // namespace tessera::test
