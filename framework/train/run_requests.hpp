#pragma once
// Invariant: all that may end a run early, or make it save, is asked here: signals, files that somebody puts
// into the run's folder, and the end of its time. A rank is told only of its own; StageTraining joins them in
// the exchange of every step, so that all ranks do the same after the same step. Asking costs no system call
// on a file: a thread of rank 0 looks for these, so a slow file system delays the answer, not the training.
//
// RUN/stop        stops with a checkpoint. The file stays, for batch scripts to know that somebody wants the
//                 run to rest; the next start removes it, since it was meant for the run before.
// RUN/checkpoint  saves and goes on. The file is removed once the checkpoint is complete.

#include <array>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "comm/communicator.hpp"

namespace tessera::train {

enum class Request : std::uint8_t { signal, stop_file, max_minutes, job_end, checkpoint_file };

/// One flag for each Request.
class RequestSet {
 public:
  static constexpr std::size_t kinds = 5;
  void add(Request request) { flags_[static_cast<std::size_t>(request)] = true; }
  [[nodiscard]] bool has(Request request) const { return flags_[static_cast<std::size_t>(request)]; }
  [[nodiscard]] bool stop() const;
  /// What asks to stop, for people: "a signal, the end of the job".
  [[nodiscard]] std::string reasons() const;

 private:
  std::array<bool, kinds> flags_{};
};

class RunRequests {
 public:
  /// @param max_minutes  of training; 0: no limit.
  /// @param job_end_margin  minutes before the end of the Slurm job, at most half of what is left of it now;
  /// 0: the job's end is no reason to stop. Collective. @throws Error when an old RUN/stop cannot be removed.
  RunRequests(const comm::Communicator& world, const std::filesystem::path& root, double max_minutes,
              double job_end_margin);
  ~RunRequests();
  RunRequests(const RunRequests&) = delete;
  RunRequests& operator=(const RunRequests&) = delete;

  /// What this rank knows of. @param seconds  since training began.
  [[nodiscard]] RequestSet seen(double seconds) const;
  /// A checkpoint of the agreed step is complete: RUN/checkpoint goes.
  void checkpoint_written();
  /// For the log: an old RUN/stop that was removed, the time at which the job's end will stop the run.
  [[nodiscard]] const std::string& notes() const { return notes_; }

 private:
  class WatchedFiles;
  double max_minutes_;
  std::optional<std::int64_t> stop_time_;  // Unix time
  std::string notes_;
  std::unique_ptr<WatchedFiles> files_;  // on rank 0
};

/// When to stop for the end of the job that SLURM_JOB_END_TIME tells, Unix time; nothing outside of a job, or
/// when that time has passed. @param now  Unix time. @param margin  minutes, at most half of what is left.
[[nodiscard]] std::optional<std::int64_t> job_stop_time(const char* job_end, std::int64_t now, double margin);

}  // namespace tessera::train
