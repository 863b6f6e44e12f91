#pragma once
// Invariant: the order of a data set goes on over all stages that train on it. What a run drew from other
// data in between does not count.

#include <cstdint>
#include <vector>

#include "checkpoint/checkpoint.hpp"
#include "data/loader.hpp"
#include "train/run_config.hpp"

namespace tessera::train {

/// Where a data set's order stands.
struct DataPosition {
  std::uint64_t draws = 0;                  ///< taken before, by this stage and those in `earlier`
  std::vector<data::EarlierSteps> earlier;  ///< the stages before that drew from the same data, in order
};

/// Of the data of the stage that `state` is in. Draws of a run that this one began from ([start]) count as
/// draws from it. @throws Error when the stages before drew more than the state says.
[[nodiscard]] DataPosition data_position(const RunConfig& config, const checkpoint::RunState& state);

}  // namespace tessera::train
