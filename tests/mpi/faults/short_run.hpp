#pragma once
// Invariant: a short toy run with checkpoints after every fourth step and at the end of its stages (12 and
// 18), of which two stay; every test of faults compares with one that nothing happened to.

#include <functional>
#include <string>
#include <vector>

#include "mpi/faults/system_calls.hpp"
#include "mpi/train/common_folder.hpp"
#include "mpi/train/run_checks.hpp"

namespace tessera::test {

class ShortRuns {
 public:
  explicit ShortRuns(const comm::Communicator& world) : world_(world), folder_(world) {
    make_data(world_, folder_ / "data");
    EXPECT_EQ(go("whole"), ExitCode::done);
    world_.barrier();
  }
  ~ShortRuns() { clear_fault(); }

  [[nodiscard]] std::string operator/(const std::string& name) const { return folder_ / name; }
  [[nodiscard]] std::string checkpoint(const std::string& run, std::int64_t step) const {
    return folder_ / (run + "/checkpoints/" + checkpoint::file_name(step));
  }
  /// The files of its checkpoints folder, sorted.
  [[nodiscard]] std::vector<std::string> files(const std::string& run) const {
    world_.barrier();
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(folder_ / (run + "/checkpoints"))) {
      names.push_back(entry.path().filename().string());
    }
    world_.barrier();
    std::ranges::sort(names);
    return names;
  }

  /// @param after_step  is called by every rank after each step, and its checkpoint has begun.
  ExitCode go(const std::string& run, bool resume = false,
              const std::function<void(std::int64_t)>& after_step = {},
              std::vector<std::string> settings = {}) const {
    train::Hooks hooks;
    settings.insert(settings.begin(),
                    {"stage.0.steps=12", "stage.1.steps=6", "stage.1.ema_start=2", "run.checkpoint_every=4"});
    if (after_step) {
      hooks.sample = [&](const train::SampleRequest& request) -> io::Image {
        after_step(request.global_step);
        return {};
      };
      settings.insert(settings.end(), {"run.sample_every=1", "run.sample_prompts=[\"one\"]"});
    }
    return run_tree(world_, toy_configuration(folder_ / "data", "float32"), folder_ / run, resume, hooks,
                    settings);
  }
  /// Runs to an Error, which is the same on all ranks, because the fault strikes rank `rank` at the
  /// checkpoint of step 8. @return the Error.
  Error failure(const std::string& run, int rank, Fault fault) const {
    fault.path = checkpoint::file_name(8) + ".tmp-";
    std::string text = "no error";
    Error caught("no error");
    try {
      (void)go(run, false, [&](std::int64_t step) {
        if (step == 6 && world_.rank() == rank) set_fault(fault);
      });
    } catch (const Error& error) {
      text = error.what();
      caught = error;
    }
    const int struck = strikes();
    clear_fault();
    EXPECT_TRUE(world_.rank() != rank || struck > 0) << "nothing was disturbed";
    for (const std::string& other : world_.gather(text)) EXPECT_EQ(other, text);
    return caught;
  }
  /// Resumes a run that was disturbed: it ends as the undisturbed one did.
  void expect_same_end(const std::string& run) const {
    EXPECT_EQ(go(run, true), ExitCode::done);
    world_.barrier();
    expect_same(run);
  }
  void expect_same(const std::string& run) const {
    EXPECT_EQ(final_bits(folder_ / run), final_bits(folder_ / "whole"));
    EXPECT_EQ(losses(folder_ / run), losses(folder_ / "whole"));
    EXPECT_EQ(losses(folder_ / run).size(), 18U);
    world_.barrier();
  }

 private:
  comm::Communicator world_;
  CommonFolder folder_;
};

}  // namespace tessera::test
