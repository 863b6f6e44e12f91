#pragma once
// Invariant: every number comes from the model itself, built from its configuration and run on shapes without
// memory; nothing here knows a formula of any architecture.

#include <cstdint>
#include <string>
#include <vector>

#include "plugin/registry.hpp"
#include "train/run_config.hpp"

namespace tessera::launch {

/// Parameters of one part of the model.
struct ParameterPart {
  std::string name;  ///< in words where the part is known, else the first element of its parameters' names
  std::int64_t count = 0;
};

struct ParameterPlan {
  std::vector<ParameterPart> parts;  ///< in the order of the forward pass
  std::int64_t total = 0;
  std::int64_t frozen = 0;   ///< of the total: not trainable
  std::int64_t experts = 0;  ///< of the total: matrices of experts
  std::int64_t active = 0;   ///< that an average token meets
};

/// Floating-point operations of one forward pass of one picture; a multiply-add is two.
struct ForwardCost {
  double products = 0;   ///< attention left out
  double attention = 0;  ///< scores and values
  double one_hot = 0;    ///< in addition, if experts were fed through one-hot products
  [[nodiscard]] double flops() const { return products + attention; }
};

struct StagePlan {
  const train::StageSettings* settings = nullptr;
  std::size_t model = 0;  ///< index into Plan::models
  std::int64_t tokens = 0;
  std::int64_t kept = 0;  ///< tokens that masking leaves
  ForwardCost forward;
  std::int64_t micro_batch = 0;  ///< pictures that a rank takes at once
  std::uint64_t activation_bytes =
      0;  ///< peak of a forward and backward pass, gradients of parameters left out
  [[nodiscard]] double images() const {
    return static_cast<double>(settings->batch) * static_cast<double>(settings->steps);
  }
  /// Forward and backward, which counts twice the forward (recomputation is not counted, as usual).
  [[nodiscard]] double training_flops() const { return 3 * forward.flops() * images(); }
  [[nodiscard]] double one_hot_training_flops() const {
    return 3 * (forward.flops() + forward.one_hot) * images();
  }
};

/// Bytes that do not depend on the batch.
struct StateBytes {
  std::uint64_t values = 0;
  std::uint64_t exact_values = 0;  ///< of the values: read in their own type, beside the copy
  std::uint64_t compute_copy = 0;  ///< of the values, in the type of products; 0 when that is the same
  std::uint64_t gradients = 0;
  std::uint64_t largest_gradient = 0;  ///< of one parameter
  std::uint64_t moments = 0;
  std::uint64_t average = 0;  ///< 0 when no stage of the model keeps one
  /// Of gradients on their way to other ranks: of one rank, at most.
  std::uint64_t travelling = 0;
  /// What the ranks of a node can have in common.
  [[nodiscard]] std::uint64_t common() const { return values + compute_copy + moments + average; }
  [[nodiscard]] std::uint64_t all() const { return common() + gradients + travelling; }
};

/// Who shares memory on a job of holders x ranks: one node's ranks, or nobody (ranks = 1).
struct MemoryLayout {
  std::int64_t holders = 1;
  std::int64_t ranks = 1;  ///< of each
};
/// What one holder has of a model's state (that of a rank that shares nothing), all its ranks together; parts
/// of buckets are taken for even. @param shard  of the run
[[nodiscard]] StateBytes held_by(const StateBytes& whole, const train::ShardSettings& shard,
                                 const MemoryLayout& layout);

/// The model of one stage, or of several in turn.
struct ModelPlan {
  std::string stages;  ///< their names, for people
  ParameterPlan parameters;
  StateBytes state;
};

struct Plan {
  std::vector<ModelPlan> models;
  std::vector<StagePlan> stages;

  /// Bytes of one of `ranks` ranks that share no memory, in the stage that needs most.
  [[nodiscard]] std::uint64_t most_bytes(const train::ShardSettings& shard, std::int64_t ranks) const;
};

/// @param config  outlives the plan.
/// @param ranks   what the global batch is divided by.
[[nodiscard]] Plan make_plan(const Registry& registry, const train::RunConfig& config, std::int64_t ranks);

}  // namespace tessera::launch
