#pragma once
// Invariant: while one lives, SIGTERM and SIGUSR1 end nothing by themselves: they are remembered, and the run
// stops at the end of its step. (mpirun passes SIGUSR1 on to every rank; a batch system that gives notice
// sends either.) No handler ever interrupts the thread that made it, or a thread that was started since:
// matrix products may have no stack for one (compute/matmul_onednn.hpp).

#include <array>
#include <csignal>

namespace tessera::train {

/// Made, asked and destroyed by the thread that trains, before it starts others.
class StopSignals {
 public:
  StopSignals();
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;
  /// Whether either signal came since the newest was made.
  [[nodiscard]] static bool received();

 private:
  std::array<struct sigaction, 2> before_;
  sigset_t mask_before_;
};

}  // namespace tessera::train
