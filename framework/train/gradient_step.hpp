#pragma once
// Invariant: the gradient of a step is that of the mean loss over its global batch, whatever the number of
// ranks and the size of micro-batches: every image's loss weighs 1/B times the weight of its data, its random
// draws depend on its position in the global batch, and a rank adds its micro-batches in order.

#include <cstdint>
#include <string>
#include <vector>

#include "data/loader.hpp"
#include "plugin/run_components.hpp"
#include "train/model_state.hpp"
#include "train/run_config.hpp"

namespace tessera::train {

class GradientStep {
 public:
  GradientStep(RunComponents& components, ModelState& model, const StageSettings& stage,
               data::Loader& loader);

  /// Sends this rank's share of the gradient on its route; ModelState::sums().finish() must follow. @param
  /// key  seed, stage, attempt and step; the purposes are set inside.
  /// @return this rank's part of the mean loss.
  double run(const RandomKey& key);
  /// What is wrong with each record that another one replaced in this rank's share of the last step.
  [[nodiscard]] const std::vector<std::string>& damages() const { return damages_; }

 private:
  double micro_step(const data::HostBatch& batch, const RandomKey& key, bool last);
  [[nodiscard]] ObjectiveLoss loss_of(const TrainingBatch& batch, const ObjectiveDraws& draws);
  [[nodiscard]] Condition condition_of(const data::HostBatch& batch);
  [[nodiscard]] CaptionFeatures captions_of(const data::HostBatch& batch);
  [[nodiscard]] TokenMask mask_of(const data::HostBatch& batch, const RandomKey& key);
  /// @param weights  of the images' losses
  void backward(const ops::Variable& per_image, const std::vector<double>& weights, bool last);
  /// Of the rank with the largest share of the batch.
  [[nodiscard]] std::uint32_t most_micro_batches() const;
  /// Sends on the gradients of parameters that no operation before `order` used.
  void report(std::uint64_t order, std::size_t& next_slot);

  RunComponents& components_;
  ModelState& model_;
  const StageSettings& stage_;
  data::Loader& loader_;
  std::vector<float> null_caption_;  // [length, width]; empty when the model reads no captions
  std::vector<float> captions_;
  std::vector<float> uniform_;
  std::vector<std::string> damages_;
};

}  // namespace tessera::train
