#pragma once
// Invariant: an older checkpoint is deleted only after a newer one is complete under its final name and was
// read back, so at every moment the folder holds the newest good one.

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.hpp"

namespace tessera::checkpoint {

/// "step-00000123.h5"
[[nodiscard]] std::string file_name(std::int64_t global_step);
/// The checkpoints of a folder by their names, newest first; empty when there is no such folder.
[[nodiscard]] std::vector<std::filesystem::path> list(const std::filesystem::path& folder);

struct Found {
  std::filesystem::path file;
  Description description;
};
/// The newest checkpoint that verify() accepts; a damaged newer one is named in a warning of the logger.
/// Main thread only. Nothing when the folder holds no checkpoint.
/// @throws Error when it holds some, all damaged.
[[nodiscard]] std::optional<Found> newest_intact(const std::filesystem::path& folder);

/// Deletes the checkpoints of later steps than this one. Any failure to do so is an Error: a later --resume
/// would take them.
void remove_after(const std::filesystem::path& folder, std::int64_t global_step);

/// save() under file_name(state.global_step), then deletes all but the newest `keep` and the last regular one
/// (FaultCounters), and what an interrupted save left. Collective. @return the file.
std::filesystem::path save_and_rotate(const std::filesystem::path& folder, std::int64_t keep,
                                      const RunState& state, const nn::ParameterStore& store,
                                      const std::vector<NamedArena>& arenas, const comm::Communicator& world);

}  // namespace tessera::checkpoint
