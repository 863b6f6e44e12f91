#include "train/progress.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <ostream>

namespace tessera::train {

std::string readable_time(double seconds) {
  if (!std::isfinite(seconds)) return "?";
  const auto total = static_cast<long>(std::llround(std::clamp(seconds, 0.0, 1e12)));
  const long days = total / 86400, hours = total / 3600 % 24, minutes = total / 60 % 60, rest = total % 60;
  std::array<char, 64> text{};
  if (days > 0) {
    std::snprintf(text.data(), text.size(), "%ldd %02ld:%02ld:%02ld", days, hours, minutes, rest);
  } else if (hours > 0) {
    std::snprintf(text.data(), text.size(), "%ld:%02ld:%02ld", hours, minutes, rest);
  } else {
    std::snprintf(text.data(), text.size(), "%ld:%02ld", minutes, rest);
  }
  return text.data();
}

std::string progress_line(const ProgressState& state) {
  constexpr std::int64_t cells = 20;
  const std::int64_t total = std::max<std::int64_t>(1, state.total_steps);
  const std::int64_t done = std::clamp<std::int64_t>(state.step * cells / total, 0, cells);
  std::string bar(static_cast<std::size_t>(done), '=');
  if (done < cells) bar += '>';
  bar.resize(cells, ' ');
  std::array<char, 160> text{};
  std::snprintf(text.data(), text.size(), "  loss %.4f  lr %.2e  %.1f images/s  %s left", state.loss,
                state.learning_rate, state.images_per_s, readable_time(state.seconds_left).c_str());
  return "[" + bar + "] " + std::to_string(state.step) + "/" + std::to_string(state.total_steps) + " " +
         state.stage + text.data();
}

void Progress::show(const ProgressState& state) {
  if (terminal_ == nullptr) return;
  const auto now = std::chrono::steady_clock::now();
  if (visible_ && now - last_ < std::chrono::milliseconds(200)) return;
  last_ = now;
  visible_ = true;
  *terminal_ << "\r" << progress_line(state) << "\x1b[K" << std::flush;
}

void Progress::clear() {
  if (terminal_ == nullptr || !visible_) return;
  *terminal_ << "\r\x1b[K" << std::flush;
  visible_ = false;
}

}  // namespace tessera::train
