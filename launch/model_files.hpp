#pragma once
// Invariant: every command that takes a trained model from files finds it in the same way.

#include <filesystem>
#include <string>

#include "checkpoint/checkpoint.hpp"
#include "launch/arguments.hpp"

namespace tessera::launch {

/// A checkpoint file, or the newest intact one of a run folder or of its folder checkpoints/.
/// @throws Error when the folder has none.
[[nodiscard]] std::filesystem::path checkpoint_file(const std::filesystem::path& given);

[[nodiscard]] Option weights_option(const std::string& fallback);
/// --weights, or `fallback` without it. @throws Error (usage) when there are no such weights.
[[nodiscard]] checkpoint::Weights weights_of(const Arguments& arguments, const std::string& command,
                                             checkpoint::Weights fallback);

/// An adapter file and the checkpoint to use it with.
struct AdapterChoice {
  std::filesystem::path adapter;  ///< --adapter
  std::filesystem::path base;     ///< --checkpoint, or the file that it was trained on
  checkpoint::Weights weights;    ///< --weights, or those that it was trained on
};
/// Warns when the base does not have the weights that the adapter was trained on.
/// @throws Error when a file is missing or of another kind, or nothing names the base.
[[nodiscard]] AdapterChoice adapter_of(const Arguments& arguments, const std::string& command);

}  // namespace tessera::launch
