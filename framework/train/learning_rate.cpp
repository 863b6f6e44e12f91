#include "train/learning_rate.hpp"

#include <algorithm>
#include <cmath>

namespace tessera::train {

double learning_rate(const LearningRateSettings& settings, std::int64_t finished_steps) {
  if (finished_steps < settings.warmup) {
    return settings.rate * static_cast<double>(finished_steps) / static_cast<double>(settings.warmup);
  }
  if (settings.schedule == "constant") return settings.rate;
  const double length =
      static_cast<double>(std::max<std::int64_t>(1, settings.decay_steps - settings.warmup));
  double fraction = static_cast<double>(finished_steps - settings.warmup) / length;
  if (settings.schedule == "cyclic-cosine") fraction -= std::floor(fraction);
  const double cosine = (1.0 + std::cos(3.14159265358979323846 * std::min(1.0, fraction))) / 2.0;
  return settings.rate * (settings.floor + (1.0 - settings.floor) * cosine);
}

}  // namespace tessera::train
