// What is asked of a running run by files in its folder and by the end of a Slurm job.
#include <gmock/gmock.h>

#include <chrono>
#include <cstdlib>
#include <thread>

#include "mpi/train/common_folder.hpp"
#include "mpi/train/run_checks.hpp"
#include "mpi/train/toy_run.hpp"

namespace tessera::test {
namespace {

using comm::Communicator;
using testing::HasSubstr;

/// Longer than the run takes to notice a file.
constexpr auto long_enough = std::chrono::milliseconds(1200);

void touch(const std::string& file) { io::File::create(file).close(); }

std::int64_t newest_step(const std::string& run) {
  return checkpoint::newest_intact(run + "/checkpoints").value().description.state.global_step;
}

class Requests : public testing::Test {
 protected:
  Requests() { make_data(world_, folder_ / "data"); }
  /// A run in which rank 0 does `work` after step 9.
  ExitCode run(const std::function<void()>& work, bool resume = false,
               const std::vector<std::string>& settings = {}) {
    train::Hooks hooks;
    hooks.sample = [&](const train::SampleRequest& request) -> io::Image {
      if (request.global_step == 9 && request.world.rank() == 0) work();
      return {};
    };
    std::vector<std::string> all{"run.sample_every=1", "run.sample_prompts=[\"a\"]",
                                 "run.keep_checkpoints=9"};
    all.insert(all.end(), settings.begin(), settings.end());
    return run_tree(world_, toy_configuration(folder_ / "data", "float32"), run_, resume, hooks, all);
  }
  [[nodiscard]] std::string log() const { return io::read_file(run_ + "/log.txt"); }

  Communicator world_ = Communicator::world();
  CommonFolder folder_{world_};
  std::string run_ = folder_ / "run";
};

TEST_F(Requests, AFileStopsTheRunAndNotTheNext) {
  const auto stop = [&] {
    touch(run_ + "/stop");
    std::this_thread::sleep_for(long_enough);
  };
  EXPECT_EQ(run(stop), ExitCode::resume_later);
  EXPECT_EQ(newest_step(run_), 10);
  EXPECT_THAT(log(), HasSubstr("for the file 'stop' in the run folder; go on with --resume"));
  EXPECT_TRUE(std::filesystem::exists(run_ + "/stop"));
  world_.barrier();  // before the next start removes it
  EXPECT_EQ(run([] {}, true), ExitCode::done);
  EXPECT_FALSE(std::filesystem::exists(run_ + "/stop"));
  EXPECT_THAT(log(), HasSubstr("Removed the file 'stop'"));
}

TEST_F(Requests, AFileSavesAndTheRunGoesOn) {
  const auto save = [&] {
    touch(run_ + "/checkpoint");
    std::this_thread::sleep_for(long_enough);
  };
  EXPECT_EQ(run(save), ExitCode::done);
  EXPECT_FALSE(std::filesystem::exists(run_ + "/checkpoint"));
  std::vector<std::string> names;
  for (const auto& file : checkpoint::list(run_ + "/checkpoints")) names.push_back(file.filename().string());
  // Asked after step 9, saved after the next, once; and at the end of each stage.
  EXPECT_EQ(names, (std::vector<std::string>{"step-00000050.h5", "step-00000030.h5", "step-00000010.h5"}));
  EXPECT_EQ(losses(run_).size(), 50U);
}

TEST_F(Requests, TheEndOfAJobStopsTheRunBefore) {
  const auto wait = [] { std::this_thread::sleep_for(std::chrono::seconds(3)); };
  // On every rank, as srun does; the margin is then half of four seconds.
  const std::string end = std::to_string(std::time(nullptr) + 4);
  setenv("SLURM_JOB_ID", "1", 1);
  setenv("SLURM_JOB_END_TIME", end.c_str(), 1);
  const ExitCode stopped = run(wait);
  world_.barrier();
  EXPECT_EQ(stopped, ExitCode::resume_later);
  EXPECT_THAT(log(), HasSubstr("Will stop for the end of the Slurm job at 20"));
  EXPECT_THAT(log(), HasSubstr("for the end of the Slurm job; go on with --resume"));
  EXPECT_LE(newest_step(run_), 10);
  unsetenv("SLURM_JOB_ID");
  EXPECT_EQ(run([] {}, true), ExitCode::done);  // the end time of no job is nobody's
  unsetenv("SLURM_JOB_END_TIME");
}

}  // namespace
}  // namespace tessera::test
