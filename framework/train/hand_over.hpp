#pragma once
// Invariant: a planned hand-over was checked against the shapes of both models, so it fails only where values
// cannot be read. The result is the same bits on every number of ranks.

#include <functional>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.hpp"
#include "plugin/run_components.hpp"
#include "plugin/slots/hand_over.hpp"
#include "train/model_state.hpp"

namespace tessera::train {

/// A trained model that another one begins from.
struct EarlierModel {
  ModelOutline outline;
  /// One parameter in its stored type. Main thread. @throws Error when it is damaged.
  std::function<Tensor(const std::string& parameter)> read;
};

[[nodiscard]] ModelOutline outline_of(RunComponents& components);
/// The weights that `model` holds now, which stay as long as this does; nothing else of `model` does.
/// Collective (ModelState::whole_values).
[[nodiscard]] EarlierModel earlier_model(RunComponents& components, const ModelState& model);
/// The weights in a file. @throws Error when it has none of this kind.
[[nodiscard]] EarlierModel earlier_model(const checkpoint::Description& description,
                                         const std::filesystem::path& file, checkpoint::Weights weights);

/// The settings of the component in the table "hand_over", defaults included, under "hand_over".
/// @throws Error when there is no such component, or a setting is wrong.
[[nodiscard]] ConfigTree resolved_hand_over(const Registry& registry, const ConfigTree& hand_over);

class PlannedHandOver {
 public:
  /// @param hand_over  table of the component, under "hand_over".
  /// @param into       for errors: "stage 'large'".
  /// @throws Error when there is no such component, or it cannot lead from the one model to the other.
  PlannedHandOver(const Registry& registry, const ConfigTree& hand_over, const ModelOutline& from,
                  const ModelOutline& to, const std::string& into);

  /// Optimizer state and average go on; apply() then has nothing left to do.
  [[nodiscard]] bool continues_training() const { return continues_training_; }
  /// "weights: 20 tensors copied; 2 keep their initial value (y_embedder.*); none is left behind".
  [[nodiscard]] std::string summary() const;
  /// Fills the values of `to`, which has its initial ones. Collective.
  void apply(const EarlierModel& from, ModelState& to) const;

 private:
  /// Rules for the copies that an adapter trains: the same sources as those of what they copy.
  void add_copies(const ModelOutline& to);
  void check(const ModelOutline& from, const ModelOutline& to);
  /// What an adapter freezes must not keep its initial values.
  void check_base(const ModelOutline& to) const;
  [[nodiscard]] Error failure(const std::string& what, const std::string& remedy) const;

  std::string name_, into_, where_;
  bool continues_training_ = false;
  std::vector<TensorRule> rules_;
  std::vector<std::string> fresh_, left_behind_;  // parameters of the new and of the old model
};

}  // namespace tessera::train
