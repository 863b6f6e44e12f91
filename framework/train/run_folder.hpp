#pragma once
// Invariant: a run never begins in a folder that holds another, and goes on only with what that one's
// checkpoint can continue.

#include <filesystem>
#include <optional>

#include "checkpoint/checkpoint_folder.hpp"
#include "comm/communicator.hpp"
#include "train/run_config.hpp"

namespace tessera::train {

class RunFolder {
 public:
  /// Makes the folder and what belongs in it, sends the logger's lines to log.txt as well, and with `resume`
  /// looks for the newest intact checkpoint. Collective. @throws Error when the folder cannot be written, or
  /// holds a run and `resume` is false.
  RunFolder(const comm::Communicator& world, const std::filesystem::path& root, bool resume);
  ~RunFolder();
  RunFolder(const RunFolder&) = delete;
  RunFolder& operator=(const RunFolder&) = delete;

  [[nodiscard]] const std::filesystem::path& root() const { return root_; }
  [[nodiscard]] std::filesystem::path checkpoints() const { return root_ / "checkpoints"; }
  [[nodiscard]] std::filesystem::path samples() const { return root_ / "samples"; }
  /// Makes the checkpoint of a step the one to go on with or, where that one is missing or damaged, the
  /// newest intact one; deletes those of later steps. Collective.
  /// @param step  -1: none is known. @throws Error when there is no checkpoint.
  void go_back(std::int64_t step);
  /// Where to go on; nothing for a new run.
  [[nodiscard]] const std::optional<checkpoint::Found>& checkpoint() const { return found_; }

  /// Warns when the configuration is not the one that wrote the checkpoint.
  /// @throws Error when its stage is not among the configured ones.
  void check_continuation(const RunConfig& config, const checkpoint::Found& found,
                          const ConfigTree& resolved) const;

 private:
  /// Tells all ranks what rank 0 found. Collective.
  void share_found();

  comm::Communicator world_;
  std::filesystem::path root_;
  std::optional<checkpoint::Found> found_;
  std::optional<int> log_sink_;
};

}  // namespace tessera::train
