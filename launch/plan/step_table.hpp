#pragma once
// Invariant: the table shows step_time() (launch/plan/step_time.hpp has the formula) and nothing else.

#include <cstdint>
#include <string>

#include "launch/plan/node_type.hpp"
#include "launch/plan/plan.hpp"

namespace tessera::launch {

/// For each stage what a step takes on 1, 2, 4, ... and `nodes` nodes, as far as the batch goes round.
/// @param sharded  the optimizer's state is divided among all ranks
[[nodiscard]] std::string step_table(const Plan& plan, const NodeType& node, std::int64_t nodes,
                                     bool sharded);

}  // namespace tessera::launch
