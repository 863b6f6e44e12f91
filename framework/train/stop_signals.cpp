#include "train/stop_signals.hpp"

namespace tessera::train {
namespace {

volatile std::sig_atomic_t stop_asked = 0;
constexpr std::array<int, 2> signals{SIGTERM, SIGUSR1};

void remember(int) { stop_asked = 1; }

}  // namespace

StopSignals::StopSignals() {
  stop_asked = 0;
  struct sigaction action {};
  action.sa_handler = remember;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  for (std::size_t i = 0; i < signals.size(); ++i) sigaction(signals[i], &action, &before_[i]);
}

StopSignals::~StopSignals() {
  for (std::size_t i = 0; i < signals.size(); ++i) sigaction(signals[i], &before_[i], nullptr);
}

bool StopSignals::received() { return stop_asked != 0; }

}  // namespace tessera::train
