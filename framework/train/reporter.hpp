#pragma once
// Invariant: rank 0 alone writes; what it wrote is in the files before the step's checkpoint is, so a resumed
// run never lacks a report. Times leave out what pause() encloses.

#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "comm/communicator.hpp"
#include "train/metrics.hpp"
#include "train/progress.hpp"
#include "train/tensorboard.hpp"

namespace tessera::train {

/// One finished step, as the loop knows it.
struct StepReport {
  std::int64_t step = 0;  ///< finished steps of the run
  std::string stage;
  double loss = 0;
  double learning_rate = 0;
  double gradient_norm = 0;
  double clip = 1;
  std::int64_t images = 0;   ///< of the global batch
  std::int64_t attempt = 0;  ///< as in StepMetrics
  std::int64_t skipped = 0;
  std::int64_t damaged = 0;
};

class Reporter {
 public:
  /// @param last_step  finished steps that the run resumes from. Collective.
  Reporter(const comm::Communicator& world, const std::filesystem::path& folder, std::int64_t last_step,
           std::int64_t total_steps, bool resumed, std::ostream* terminal);
  Reporter(const Reporter&) = delete;
  Reporter& operator=(const Reporter&) = delete;

  /// Once per step.
  void step(const StepReport& report);
  /// Writes a line of metrics with the mean loss since the last. Collective.
  void metrics(const StepReport& report, double mean_loss);
  void sample(std::int64_t step, const io::Image& grid);
  /// Reports of steps after this one are void: the run repeats them. Collective.
  void go_back(std::int64_t last_step);
  /// A line for log.txt and whoever else listens.
  void say(const std::string& text);

  /// Runs `work` with the clock of images per second stopped.
  template <class Work>
  void pause(const Work& work) {
    if (progress_) progress_->clear();
    const auto begin = Clock::now();
    work();
    mark_ += Clock::now() - begin;
  }
  [[nodiscard]] double seconds() const;

 private:
  using Clock = std::chrono::steady_clock;

  /// @param void_after  negative: nothing was reported before.
  void open_files(std::int64_t last_step, std::int64_t void_after);

  comm::Communicator world_;
  std::filesystem::path folder_;
  std::int64_t total_steps_;
  Clock::time_point start_ = Clock::now();
  Clock::time_point mark_ = start_;  // of the last line of metrics
  std::int64_t images_ = 0;          // since then
  std::int64_t steps_ = 0;
  Clock::time_point memory_time_{};
  double memory_ = 0;
  double shown_loss_ = 0;  // smoothed, for the eye
  bool shown_ = false;
  std::optional<Progress> progress_;
  std::unique_ptr<MetricsFile> metrics_;
  std::unique_ptr<EventFile> events_;
};

}  // namespace tessera::train
