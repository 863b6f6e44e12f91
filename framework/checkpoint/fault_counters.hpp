#pragma once
// Invariant: what a run has met so far that was not training, as far as later decisions depend on it: a
// resumed run counts on and decides as one that never stopped. Checkpoints that were written without are read
// as zeros.

#include <cstdint>
#include <vector>

#include "io/hdf5.hpp"

namespace tessera::checkpoint {

struct FaultCounters {
  std::int64_t skipped_steps = 0;    ///< left out in the whole run, those that a roll-back undid included
  std::int64_t damaged_records = 0;  ///< replaced, likewise
  std::int64_t rollbacks = 0;
  double norm_mean = 0;  ///< running mean of the gradient's norm
  std::int64_t norm_count = 0;
  std::vector<std::int64_t> recent_skips;  ///< global steps, since the last roll-back
  /// The step of the last regular checkpoint, where a roll-back goes; that of a stop between them does not
  /// count, for a run that was not stopped has none. -1: none yet.
  std::int64_t regular_step = -1;
  friend bool operator==(const FaultCounters&, const FaultCounters&) = default;
};

/// As attributes of the file.
void write_counters(io::Hdf5File& file, const FaultCounters& counters);
[[nodiscard]] FaultCounters read_counters(const io::Hdf5File& file);

}  // namespace tessera::checkpoint
