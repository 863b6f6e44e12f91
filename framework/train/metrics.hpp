#pragma once
// Invariant: metrics.jsonl holds one line per report, steps ascending, each step at most once: a resumed run
// first drops the lines of steps that it is about to repeat.

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>

namespace tessera::train {

struct StepMetrics {
  std::int64_t step = 0;  ///< finished steps of the run
  std::string stage;
  double loss = 0;  ///< mean over the steps since the last report
  double learning_rate = 0;
  double gradient_norm = 0;  ///< of this step, before clipping
  double clip = 1;           ///< what the gradient was multiplied by
  double images_per_s = 0;   ///< since the last report, over all ranks; samples and checkpoints left out
  double seconds = 0;        ///< since this process began to train
  double memory = 0;         ///< bytes, sum over ranks of the proportional set size
  std::int64_t attempt = 0;  ///< of the random draws: raised by a roll-back
  std::int64_t skipped = 0;  ///< steps of the whole run that were left out
  std::int64_t damaged = 0;  ///< records of the whole run that another one replaced
};

/// {"step":100,"stage":"...","loss":...} without the newline; numbers read back to the same bits, those that
/// are not finite are null.
[[nodiscard]] std::string to_json(const StepMetrics& metrics);

class MetricsFile {
 public:
  /// Opens for appending, and keeps of what is there the lines of steps up to `last_step`.
  /// @throws Error when the file cannot be written.
  MetricsFile(const std::filesystem::path& file, std::int64_t last_step);
  /// The line is in the file, whatever happens to the process, when this returns.
  /// @throws Error when it cannot be, also because the file was removed or put elsewhere.
  void append(const StepMetrics& metrics);

 private:
  std::string path_;
  std::ofstream file_;
};

/// Proportional set size of this process in bytes (memory shared by n processes counts 1/n); 0 where the
/// system does not tell.
[[nodiscard]] double proportional_memory();

}  // namespace tessera::train
