#pragma once
// Invariant: everything that belongs to one stage lives here and ends with it: the components that its
// configuration names, the state of its model, and the loop over its steps.

#include <memory>
#include <string>
#include <vector>

#include "data/dataset.hpp"
#include "train/gradient_step.hpp"
#include "train/hand_over.hpp"
#include "train/model_state.hpp"
#include "train/run_record.hpp"
#include "train/step_faults.hpp"

namespace tessera::train {

class StageTraining {
 public:
  /// A model with its initial values. Collective. @param config  outlives this.
  StageTraining(const RunConfig& config, std::size_t stage, RunComponents components,
                const comm::Communicator& world);
  /// Goes on with all that the stage before has, which is then of no use any more. Collective.
  StageTraining(const RunConfig& config, std::size_t stage, RunComponents components,
                const StageTraining& before, const comm::Communicator& world);
  StageTraining(const StageTraining&) = delete;
  StageTraining& operator=(const StageTraining&) = delete;

  enum class Outcome : std::uint8_t {
    finished,
    stopped,
    goes_back,  ///< too many steps had to be left out: the run is to go on from its last regular checkpoint
  };
  /// Trains from the record's step to the stage's last, and saves. Collective.
  Outcome run(const std::shared_ptr<const data::Dataset>& dataset, RunRecord& record);

  [[nodiscard]] std::size_t index() const { return index_; }
  [[nodiscard]] RunComponents& components() { return components_; }
  [[nodiscard]] ModelState& model() { return model_; }

 private:
  void begin(const data::Dataset& dataset, RunRecord& record);
  /// One optimizer step. @return what to report.
  StepReport step(GradientStep& gradient, RunRecord& record);
  /// The mean loss of the step; remembers what any rank is asked for, and counts the records that were
  /// replaced. Collective.
  double exchange(double part, const std::vector<std::string>& damages, RunRecord& record);
  /// What a step that cannot count comes to: an Error, or a line in the log and perhaps a roll-back.
  /// Collective.
  void refuse(const StepFault& fault, RunRecord& record);

  const RunConfig& config_;
  std::size_t index_;
  const StageSettings& settings_;
  comm::Communicator world_;
  RunComponents components_;
  ModelState model_;
  RequestSet asked_;  // of all ranks, after the newest step
  bool goes_back_ = false;
};

}  // namespace tessera::train
