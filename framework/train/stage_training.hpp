#pragma once
// Invariant: everything that belongs to one stage lives here and ends with it: the components that its
// configuration names, the state of its model, and the loop over its steps.

#include <memory>

#include "data/dataset.hpp"
#include "train/gradient_step.hpp"
#include "train/hand_over.hpp"
#include "train/model_state.hpp"
#include "train/run_record.hpp"

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

  enum class Outcome : std::uint8_t { finished, stopped };
  /// Trains from the record's step to the stage's last, and saves. Collective.
  Outcome run(const std::shared_ptr<const data::Dataset>& dataset, RunRecord& record);

  [[nodiscard]] std::size_t index() const { return index_; }
  [[nodiscard]] RunComponents& components() { return components_; }
  [[nodiscard]] ModelState& model() { return model_; }

 private:
  void begin(const data::Dataset& dataset, RunRecord& record);
  /// One optimizer step. @return what to report.
  StepReport step(GradientStep& gradient, RunRecord& record);
  /// The mean loss of the step; remembers what any rank is asked for. Collective.
  double exchange(double part, const RunRecord& record);
  /// What a step without a finite loss or gradient comes to: an Error, or a line in the log. Collective.
  void refuse(bool finite_loss, RunRecord& record) const;

  const RunConfig& config_;
  std::size_t index_;
  const StageSettings& settings_;
  comm::Communicator world_;
  RunComponents components_;
  ModelState model_;
  RequestSet asked_;  // of all ranks, after the newest step
};

}  // namespace tessera::train
