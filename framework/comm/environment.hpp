#pragma once
// Invariant: MPI is initialised exactly as long as the one Environment of the process lives, at the
// FUNNELED level: only the thread that made it calls MPI (but see abort_hanging_job(), comm/job.hpp).
// Programs make one at the top of main; `plan`, `show`, `plugins` and `--help` make none.

#include <string>

namespace tessera::comm {

class Environment {
 public:
  /// Initialises MPI; started without mpirun the process is a job of one rank.
  /// @throws Error when MPI offers too little thread support or an Environment existed before; SeparateRanks
  /// (comm/launcher.hpp) when the processes of the job do not find each other.
  Environment();
  /// Finalises MPI, which waits for the other ranks. While an exception unwinds nobody may be waited for, so
  /// MPI is then left to the launcher; guard() (comm/job.hpp) keeps programs away from that case.
  ~Environment();
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;
  Environment(Environment&&) = delete;
  Environment& operator=(Environment&&) = delete;

 private:
  int exceptions_at_start_;
};

/// Of MPI, in its own words, on one line: "Open MPI v4.1.4, package: ...". Any time.
[[nodiscard]] std::string library_version();

}  // namespace tessera::comm
