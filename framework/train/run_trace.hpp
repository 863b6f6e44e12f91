#pragma once
// Invariant: RUN/trace.json is there whole or not at all, and holds the same steps of every rank on one
// clock: each rank counts from the moment at which all of them had come to a barrier. Its size has a limit
// however many ranks and steps there are.
//
// Chrome's trace format; https://ui.perfetto.dev and chrome://tracing show it.

#include <cstdint>
#include <filesystem>

#include "comm/communicator.hpp"

namespace tessera::train {

class RunTrace {
 public:
  /// @param steps  how many to record; 0: none, and this does nothing.
  /// @param after  steps of this process to let pass before. Collective.
  RunTrace(const comm::Communicator& world, std::filesystem::path file, std::int64_t steps,
           std::int64_t after);
  ~RunTrace();
  RunTrace(const RunTrace&) = delete;
  RunTrace& operator=(const RunTrace&) = delete;

  /// A step is over, with all that follows it. Collective.
  void after_step();
  /// No step follows: writes what there is. Collective.
  void finish();

 private:
  void begin();

  comm::Communicator world_;
  std::filesystem::path file_;
  std::int64_t steps_;
  std::int64_t after_;
  std::int64_t passed_ = 0;
  bool recording_ = false;
};

/// Writes a trace whose parts the ranks have (chrome_trace). Collective. @throws Error, on all ranks alike.
void write_trace(const comm::Communicator& world, const std::filesystem::path& file, const std::string& part);

}  // namespace tessera::train
