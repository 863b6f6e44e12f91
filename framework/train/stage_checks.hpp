#pragma once
// Invariant: whatever can be known to fail in a later stage fails before the first step.

#include <memory>
#include <span>
#include <vector>

#include "comm/communicator.hpp"
#include "data/dataset.hpp"
#include "data/mixture.hpp"
#include "train/run_config.hpp"

namespace tessera::train {

/// What is in these files and folders, read by one rank and told to the others: thousands of ranks that look
/// at every shard of a data set would keep its disk busy before the first step. Collective.
/// @throws Error as data::ShardIndex::of, on all ranks alike.
[[nodiscard]] data::ShardIndex index_of_shards(const std::vector<std::string>& paths,
                                               const comm::Communicator& world);

/// The data of every stage; stages with the same paths share it. @param stages  the components of every
/// stage. @throws Error when data was not made by the configured codec, or by the text encoder where a stage
/// reads captions, or lacks what a stage's model reads. Collective.
[[nodiscard]] std::vector<std::shared_ptr<const data::Dataset>> open_data(
    const RunConfig& config, std::span<const RunComponents> stages, const comm::Communicator& world);

/// The parts that [[data.mix]] makes of the data; none without it. @param dataset  what open_data() opened
[[nodiscard]] std::vector<data::MixturePart> mixture_of(const DataSettings& settings,
                                                        const data::Dataset& dataset);

/// @throws Error when the stage cannot train `components`, which are its own, on this data with this many
/// ranks.
void check_stage(const RunConfig& config, std::size_t stage, const RunComponents& components,
                 const data::Dataset& dataset, const comm::Communicator& world);

}  // namespace tessera::train
