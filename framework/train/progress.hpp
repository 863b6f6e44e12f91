#pragma once
// Invariant: on a terminal the run occupies one line, rewritten in place; whoever writes something else calls
// clear() before. Without a terminal nothing is written.

#include <chrono>
#include <cstdint>
#include <iosfwd>
#include <string>

namespace tessera::train {

/// "3d 04:05:06", "4:05:06", "5:06".
[[nodiscard]] std::string readable_time(double seconds);

/// What the line shows.
struct ProgressState {
  std::string stage;
  std::int64_t step = 0;         ///< finished steps of the run
  std::int64_t total_steps = 0;  ///< of the run
  double loss = 0;
  double learning_rate = 0;
  double images_per_s = 0;
  double seconds_left = 0;
};

/// "[=====>    ] 1200/5000 stage  loss 0.1234  lr 2.40e-04  123.4 images/s  5:06 left"
[[nodiscard]] std::string progress_line(const ProgressState& state);

class Progress {
 public:
  /// @param terminal  null for none; must outlive this.
  explicit Progress(std::ostream* terminal) : terminal_(terminal) {}
  ~Progress() { clear(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// Rewrites the line, at most five times a second.
  void show(const ProgressState& state);
  /// Empties the line.
  void clear();

 private:
  std::ostream* terminal_;
  std::chrono::steady_clock::time_point last_{};
  bool visible_ = false;
};

}  // namespace tessera::train
