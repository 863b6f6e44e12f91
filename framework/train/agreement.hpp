#pragma once
// Invariant: the ranks of a run are alike in everything that its result depends on: configuration, data,
// plugins, builds and libraries; else it does not begin. Machines, paths and how fast data is read may
// differ.

#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/config_tree.hpp"
#include "comm/communicator.hpp"
#include "data/dataset.hpp"
#include "plugin/registry.hpp"

namespace tessera::train {

/// Names and values, in one order on all ranks that are alike.
using Facts = std::vector<std::pair<std::string, std::string>>;

/// Of this rank. @param resolved  the run's configuration. @param data  of each stage
[[nodiscard]] Facts facts_of_run(const ConfigTree& resolved,
                                 std::span<const std::shared_ptr<const data::Dataset>> data,
                                 const Registry& registry);

/// What a rank says of itself.
struct RankFacts {
  std::string node;
  Facts facts;
};
/// "rank 3 (node B): stage.0.batch = 64, others 32", one line for each difference; empty when there is none.
[[nodiscard]] std::string differences(const std::vector<RankFacts>& ranks);

/// Collective. @throws Error, on all ranks alike, that names the differences.
void expect_alike(const comm::Communicator& world, const Facts& facts);

}  // namespace tessera::train
