#include "checkpoint/fault_counters.hpp"

namespace tessera::checkpoint {
namespace {

/// Calls `visit(name, number)` for each of the whole numbers.
template <class Counters, class Visit>
void for_each_number(Counters& counters, const Visit& visit) {
  visit("skipped_steps", counters.skipped_steps);
  visit("damaged_records", counters.damaged_records);
  visit("rollbacks", counters.rollbacks);
  visit("norm_count", counters.norm_count);
  visit("regular_step", counters.regular_step);
}

}  // namespace

void write_counters(io::Hdf5File& file, const FaultCounters& counters) {
  for_each_number(counters,
                  [&](const char* name, std::int64_t number) { file.set_attribute("/", name, number); });
  file.set_attribute("/", "norm_mean", counters.norm_mean);
  if (!counters.recent_skips.empty())
    file.set_attribute("/", "recent_skips", std::span<const std::int64_t>(counters.recent_skips));
}

FaultCounters read_counters(const io::Hdf5File& file) {
  FaultCounters counters;
  if (!file.has_attribute("/", "skipped_steps")) return counters;
  for_each_number(
      counters, [&](const char* name, std::int64_t& number) { number = file.integer_attribute("/", name); });
  counters.norm_mean = file.number_attribute("/", "norm_mean");
  if (file.has_attribute("/", "recent_skips"))
    counters.recent_skips = file.integers_attribute("/", "recent_skips");
  return counters;
}

}  // namespace tessera::checkpoint
