#include "train/data_position.hpp"

namespace tessera::train {

DataPosition data_position(const RunConfig& config, const checkpoint::RunState& state) {
  const StageSettings& stage = config.stages.at(static_cast<std::size_t>(state.stage));
  DataPosition position;
  std::int64_t draws = state.samples_seen;
  for (std::int64_t i = 0; i < state.stage; ++i) {
    const StageSettings& before = config.stages[static_cast<std::size_t>(i)];
    if (before.data.draws_like(stage.data)) {
      position.earlier.push_back(
          {static_cast<std::uint64_t>(before.batch), static_cast<std::uint64_t>(before.steps)});
    } else {
      draws -= before.batch * before.steps;
    }
  }
  if (draws < 0) {
    throw Error("the stages before '" + stage.name + "' now have " + std::to_string(-draws) +
                    " pictures more than the run drew in all.",
                "[[stage]]", "Resume with the steps and batches that they were trained with.");
  }
  position.draws = static_cast<std::uint64_t>(draws);
  return position;
}

}  // namespace tessera::train
