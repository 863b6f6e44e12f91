#pragma once
// Invariant: a run that began from another one's checkpoint says from which: path and digest are in its
// configuration. Once it has a checkpoint of its own, the other file is not looked at.

#include <filesystem>
#include <string>

#include "checkpoint/checkpoint_folder.hpp"
#include "train/hand_over.hpp"
#include "train/run_config.hpp"

namespace tessera::train {

/// The checkpoint that [start] names.
class StartPoint {
 public:
  /// Main thread. @throws Error when the file is missing or damaged, has another digest than [start] asks
  /// for, or lacks the weights.
  explicit StartPoint(const StartSettings& settings);

  [[nodiscard]] const std::filesystem::path& file() const { return file_; }
  [[nodiscard]] const checkpoint::Description& description() const { return description_; }
  [[nodiscard]] const EarlierModel& model() const { return model_; }
  [[nodiscard]] std::string digest() const { return checkpoint::digest(description_); }
  /// For people: file, digest, stage, step and which weights.
  [[nodiscard]] std::string text() const;
  /// @throws Error when training cannot go on with this file's optimizer.
  void check_continuation() const;

 private:
  StartSettings settings_;
  std::filesystem::path file_;
  checkpoint::Description description_;
  EarlierModel model_;
};

/// The digest in the configuration of a run's own checkpoint.
[[nodiscard]] std::string recorded_digest(const checkpoint::Found& checkpoint);

}  // namespace tessera::train
