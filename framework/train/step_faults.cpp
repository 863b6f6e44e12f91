#include "train/step_faults.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

namespace tessera::train {

StepFault step_fault(const FaultSettings& settings, const checkpoint::FaultCounters& counters, double loss,
                     double norm) {
  if (!std::isfinite(loss)) return {"its loss is not a finite number", false};
  if (!std::isfinite(norm)) return {"its gradient is not a finite number", false};
  if (settings.norm_limit == 0 || counters.norm_count < fewest_norms) return {};
  if (norm <= settings.norm_limit * counters.norm_mean) return {};
  std::array<char, 160> text{};
  std::snprintf(text.data(), text.size(), "its gradient has the norm %.4g, %.1f times the mean of %.4g", norm,
                norm / counters.norm_mean, counters.norm_mean);
  return {text.data(), true};
}

void count_taken(checkpoint::FaultCounters& counters, double norm) {
  ++counters.norm_count;
  const auto memory = static_cast<double>(std::min(counters.norm_count, norm_memory));
  counters.norm_mean += (norm - counters.norm_mean) / memory;
}

bool count_skipped(const FaultSettings& settings, checkpoint::FaultCounters& counters, std::int64_t step) {
  ++counters.skipped_steps;
  if (settings.skip_limit == 0) return false;
  std::vector<std::int64_t>& recent = counters.recent_skips;
  recent.push_back(step);
  std::erase_if(recent, [&](std::int64_t other) { return other <= step - settings.skip_window; });
  return static_cast<std::int64_t>(recent.size()) >= settings.skip_limit;
}

checkpoint::FaultCounters count_rollback(const checkpoint::FaultCounters& now,
                                         checkpoint::FaultCounters then) {
  then.skipped_steps = now.skipped_steps;
  then.damaged_records = now.damaged_records;
  then.rollbacks = now.rollbacks + 1;
  then.recent_skips.clear();
  return then;
}

}  // namespace tessera::train
