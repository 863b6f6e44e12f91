#pragma once
// Invariant: an adapter file holds what an adapter's training changed and nothing else; together with the
// checkpoint of the model that it was trained on it gives the trained model, and the digest in it tells
// whether a checkpoint has these weights.

#include <filesystem>
#include <string>

#include "checkpoint/checkpoint.hpp"
#include "plugin/registry.hpp"
#include "train/run_config.hpp"

namespace tessera::train {

/// What RunComponents takes to build the model of a stage of `config` with the adapter of a file on it.
/// @param file  of the adapter, for errors. @throws Error when the model has an adapter already.
[[nodiscard]] ConfigTree adapted_tree(const RunConfig& config, std::size_t stage,
                                      const checkpoint::Description& adapter,
                                      const std::filesystem::path& file);

/// Warns when `checkpoint` does not hold the weights that the adapter was trained on.
void warn_of_other_base(const checkpoint::Description& adapter, const checkpoint::Description& checkpoint,
                        const std::filesystem::path& file, checkpoint::Weights weights);

/// Writes the adapter in a run's checkpoint to a file of its own. Main thread, one rank.
/// @return what was written. @throws Error when the checkpoint's model has no adapter.
checkpoint::Description export_adapter(const Registry& registry, const std::filesystem::path& checkpoint,
                                       checkpoint::Weights weights, const std::filesystem::path& out,
                                       const comm::Communicator& alone);

/// Writes a checkpoint of the base's model whose weights have the adapter merged in: without optimizer state
/// or average. Main thread, one rank. @param weights  of the base.
/// @return what was written. @throws Error when the two do not fit, or the adapter cannot be merged.
checkpoint::Description merge_adapter(const Registry& registry, const std::filesystem::path& base,
                                      checkpoint::Weights weights, const std::filesystem::path& adapter,
                                      const std::filesystem::path& out, const comm::Communicator& alone);

}  // namespace tessera::train
