#pragma once
// Invariant: what a run leaves behind (metrics, checkpoints, samples, log) is written here and nowhere else,
// and the counters of RunState say at every moment how far it is.

#include <filesystem>
#include <memory>
#include <string>

#include "checkpoint/checkpoint_folder.hpp"
#include "train/model_state.hpp"
#include "train/reporter.hpp"
#include "train/run_config.hpp"
#include "train/run_folder.hpp"
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
  /// @param last  the stage's last step. @param stop  save, because the run ends here.
  void after_step(const StepReport& report, const StageModel& model, bool last, bool stop);
  /// Writes a checkpoint, unless this step has one. Collective.
  void save(const StageModel& model);
  /// No step follows. Collective.
  void finish() { trace_.finish(); }
  /// The newest checkpoint; empty when there is none.
  [[nodiscard]] std::string newest_checkpoint() const;
  /// A signal arrived, or the time is over. Local.
  [[nodiscard]] bool wants_to_stop() const;

 private:
  void report(const StepReport& step);
  void sample(const StageModel& model);

  const RunConfig& config_;
  comm::Communicator world_;
  const Hooks& hooks_;
  const RunFolder& folder_;
  checkpoint::RunState state_;
  std::int64_t saved_step_;
  Reporter reporter_;
  RunTrace trace_;
};

}  // namespace tessera::train
