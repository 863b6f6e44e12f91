#pragma once
// Invariant: while one lives, SIGTERM and SIGUSR1 end nothing by themselves: they are remembered, and the run
// stops at the end of its step. (mpirun passes SIGUSR1 on to every rank; a batch system that gives notice
// sends either.)

#include <array>
#include <csignal>

namespace tessera::train {

class StopSignals {
 public:
  StopSignals();
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;
  [[nodiscard]] static bool received();

 private:
  std::array<struct sigaction, 2> before_;
};

}  // namespace tessera::train
