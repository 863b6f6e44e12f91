#pragma once
// Invariant: whether a step counts, and when a run goes back, follows from its loss, the norm of its gradient
// and counters that are in the checkpoint: all ranks decide alike, and a resumed run as one that was not
// stopped.
//
// The norm is judged against its running mean, since what is large depends on the model and on how far
// training is. Steps that are left out do not enter the mean.

#include <string>

#include "checkpoint/fault_counters.hpp"
#include "train/run_config.hpp"

namespace tessera::train {

/// The mean forgets the norms before the last so many steps, exponentially.
inline constexpr std::int64_t norm_memory = 100;
/// Before so many norms are known none is judged: the first steps of a run differ much from each other.
inline constexpr std::int64_t fewest_norms = 20;

/// Why a step cannot count.
struct StepFault {
  std::string why;     ///< completes "the step is left out: "; empty when it counts
  bool finite = true;  ///< loss and gradient are numbers
  [[nodiscard]] bool none() const { return why.empty(); }
};
[[nodiscard]] StepFault step_fault(const FaultSettings& settings, const checkpoint::FaultCounters& counters,
                                   double loss, double norm);
/// Counts a step that was taken.
void count_taken(checkpoint::FaultCounters& counters, double norm);
/// Counts a step that was left out. @return whether the run has to go back.
[[nodiscard]] bool count_skipped(const FaultSettings& settings, checkpoint::FaultCounters& counters,
                                 std::int64_t step);
/// Counts a roll-back.
/// @param now  the counters before it. @param then  those of the checkpoint.
[[nodiscard]] checkpoint::FaultCounters count_rollback(const checkpoint::FaultCounters& now,
                                                       checkpoint::FaultCounters then);

}  // namespace tessera::train
