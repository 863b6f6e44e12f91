#pragma once
// Invariant: what a run leaves behind (metrics, checkpoints, samples, log) is written here and nowhere else,
// and the counters of RunState say at every moment how far it is.

#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "checkpoint/checkpoint_folder.hpp"
#include "train/model_state.hpp"
#include "train/reporter.hpp"
#include "train/run_config.hpp"
#include "train/run_folder.hpp"
#include "train/run_requests.hpp"
#include "train/run_trace.hpp"
#include "train/trainer.hpp"

namespace tessera::train {

/// The model that a stage trains, for those who save and sample it.
struct StageModel {
  const StageSettings& settings;
  RunComponents& components;
  ModelState& state;
};

class RunRecord {
 public:
  /// @param state    where the run goes on; written to every checkpoint.
  /// @param resumed  whether a checkpoint of that step is there. Collective.
  RunRecord(const RunConfig& config, const comm::Communicator& world, const Hooks& hooks,
            const RunFolder& folder, checkpoint::RunState state, bool resumed);

  [[nodiscard]] checkpoint::RunState& state() { return state_; }
  void say(const std::string& text) { reporter_.say(text); }
  [[nodiscard]] double seconds() const { return reporter_.seconds(); }

  /// Reports, saves and samples what is due after a finished step. Collective.
  /// @param last  the stage's last step. @param asked  what the ranks agreed on after it.
  void after_step(const StepReport& report, const StageModel& model, bool last, const RequestSet& asked);
  /// Writes a checkpoint, unless this step has one; it is complete on return. Collective.
  /// @param regular  every run has one at this step, however often it was stopped: a roll-back may go here.
  void save(const StageModel& model, bool regular = true);
  /// Counts a roll-back and forgets what came after the step of `state`, a checkpoint's; none is being
  /// written. Collective.
  void go_back(const checkpoint::RunState& state);
  /// Waits for a checkpoint that is being written. Collective. @throws Error when it cannot be.
  void settle();
  /// No step follows. Collective.
  void finish() { trace_.finish(); }
  /// The newest complete checkpoint; empty when there is none.
  [[nodiscard]] std::string newest_checkpoint() const;
  /// What this rank is asked for. Local.
  [[nodiscard]] RequestSet requests() const { return requests_.seen(reporter_.seconds()); }

 private:
  using Clock = std::chrono::steady_clock;
  /// A checkpoint that is being written.
  struct Saving {
    std::int64_t step;
    Clock::time_point begin;
    double waited = 0;  ///< seconds that training stood still for it
    std::unique_ptr<checkpoint::PendingSave> save;
  };

  void report(const StepReport& step);
  void start_save(const StageModel& model, bool regular, checkpoint::Writing writing);
  /// Takes its next step. Collective.
  void advance_save();
  void sample(const StageModel& model);

  const RunConfig& config_;
  comm::Communicator world_;
  const Hooks& hooks_;
  const RunFolder& folder_;
  checkpoint::RunState state_;
  std::int64_t saved_step_;  ///< of the newest complete checkpoint; -1: none
  std::optional<Saving> saving_;
  bool said_no_memory_ = false;
  bool answering_request_ = false;  ///< the checkpoint that is being written was asked for by a file
  Reporter reporter_;
  RunRequests requests_;
  RunTrace trace_;
};

}  // namespace tessera::train
