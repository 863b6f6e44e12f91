#pragma once
// Invariant: the rate is a pure function of the number of finished steps, so a resumed run needs no state.

#include <cstdint>
#include <string>

namespace tessera::train {

struct LearningRateSettings {
  double rate = 2.4e-4;
  std::string schedule = "constant";  ///< constant, cosine, cyclic-cosine
  std::int64_t warmup = 0;            ///< steps of linear rise from 0
  std::int64_t decay_steps = 0;       ///< end of the cosine, counted from step 0; length of a cycle if cyclic
  double floor = 0;                   ///< cosine ends at floor * rate
};

/// rate * t/warmup while t < warmup; then rate * (f + (1-f) (1 + cos(pi u))/2) with u the fraction of the way
/// from `warmup` to `decay_steps` (of the current cycle, when cyclic). t = 0 gives 0 when there is a warm-up.
[[nodiscard]] double learning_rate(const LearningRateSettings& settings, std::int64_t finished_steps);

}  // namespace tessera::train
