#pragma once
// Invariant: an older checkpoint is deleted only after a newer one is complete under its final name and was
// read back, so at every moment the folder holds the newest good one. Which is newest is said by the names,
// never by a clock.

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.hpp"
#include "checkpoint/pending_save.hpp"

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

/// Which checkpoints stay.
struct Retention {
  std::int64_t newest = 2;  ///< so many of the newest; at least one, whatever this says
  std::int64_t every = 0;   ///< besides, those of steps that are a multiple of it; 0: none
};

/// Removes what saves that were killed left. For rank 0, while nothing is being saved there. Failing to is
/// not an error.
void remove_leftovers(const std::filesystem::path& folder);

/// Starts a save under file_name(state.global_step), which at its end deletes what `retention` does not keep,
/// the last regular one (FaultCounters) excepted.
/// What killed saves left goes first, to make room. Nothing else may be saved into the folder until this is
/// complete. Collective. @throws Error on all ranks alike.
[[nodiscard]] std::unique_ptr<PendingSave> start_save(const std::filesystem::path& folder,
                                                      const Retention& retention, const RunState& state,
                                                      const nn::ParameterStore& store,
                                                      const std::vector<NamedArena>& arenas,
                                                      const comm::Communicator& world, Writing writing);

}  // namespace tessera::checkpoint
