#pragma once
// Invariant: what training changes lives in arenas of one layout: values, moments and the running average
// once per node where its ranks can share memory, gradients as their route demands. The values of frozen
// parameters lie behind those of the others and have nothing beside them. Between steps every rank sees the
// same values. Members are collective unless they say otherwise.

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "checkpoint/checkpoint.hpp"
#include "nn/parameter_store.hpp"
#include "train/adamw.hpp"
#include "train/gradient_route.hpp"

namespace tessera::train {

class ModelState {
 public:
  /// Values are initialised from `seed`, moments zero. @param average  keeps memory for a running average.
  /// @throws Error when every parameter is frozen.
  ModelState(nn::Module& model, const nn::Precision& precision, const AdamWSettings& optimizer, bool average,
             std::uint64_t seed, const comm::Communicator& world);
  /// Goes on with all that `before` has, whose model must have the same parameters; nothing is copied, and
  /// `before` is of no use any more. An average that is not kept is given back.
  ModelState(nn::Module& model, const ModelState& before, const AdamWSettings& optimizer, bool average);

  [[nodiscard]] nn::ParameterStore& store() { return store_; }
  [[nodiscard]] const nn::ParameterStore& store() const { return store_; }
  [[nodiscard]] AdamW& optimizer() { return *optimizer_; }
  [[nodiscard]] GradientRoute& route() { return *route_; }
  [[nodiscard]] comm::SummedGradients& sums() { return route_->sums(); }
  [[nodiscard]] int ranks() const { return world_.size(); }  ///< Local.

  [[nodiscard]] bool average_active() const { return average_active_; }
  /// Copies the values to the average, or forgets that there is one.
  void start_average();
  void stop_average() { average_active_ = false; }
  /// Exchanges values and average; does nothing while the average is not active.
  void swap_average();
  /// Runs `write`, which fills values, on the ranks that have them in common memory, each told its number
  /// among them; what one of them throws, all throw.
  void write_values(const std::function<void(int rank, int ranks)>& write);

  /// What a checkpoint holds: model, moments, and the average while it is active.
  [[nodiscard]] std::vector<checkpoint::NamedArena> arenas() const;
  void load(const checkpoint::Description& description, const std::filesystem::path& file);

 private:
  [[nodiscard]] nn::ArenaMaker arena_maker();
  [[nodiscard]] nn::GradientFlow flow() const;
  [[nodiscard]] comm::Slice slice() const { return route_->sums().my_slice(); }
  /// After the values changed: the copy in the compute type, once for all ranks that share it.
  void renew_copies();

  comm::Communicator world_;
  bool shared_;  ///< the ranks of a node have one copy of the values and of what the optimizer keeps
  bool common_gradients_;  ///< GradientRoute::once_per_node()
  comm::Communicator sharers_;
  bool average_active_ = false;
  nn::ParameterStore store_;
  std::optional<comm::SharedArena> gradients_;
  std::unique_ptr<AdamW> optimizer_;
  std::unique_ptr<GradientRoute> route_;
};

}  // namespace tessera::train
