#include "train/stop_signals.hpp"

#include <pthread.h>

#include <atomic>
#include <cerrno>
#include <ctime>

namespace tessera::train {
namespace {

std::atomic<bool> stop_asked{false};
static_assert(std::atomic<bool>::is_always_lock_free);  // a handler may not wait for a lock
constexpr std::array<int, 2> signals{SIGTERM, SIGUSR1};

void remember(int) { stop_asked = true; }

sigset_t set_of_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : signals) sigaddset(&set, signal);
  return set;
}

/// Takes those that wait for this thread, or for any of the process.
void take_waiting() {
  const sigset_t set = set_of_signals();
  const timespec at_once{};
  for (;;) {
    if (sigtimedwait(&set, nullptr, &at_once) > 0) {
      stop_asked = true;
    } else if (errno != EINTR) {  // EAGAIN: none waits
      return;
    }
  }
}

}  // namespace

StopSignals::StopSignals() {
  stop_asked = false;
  // The mask keeps them from this thread, and new threads inherit it. Those that MPI has started by now let
  // the signals through, to the handler.
  struct sigaction action {};
  action.sa_handler = remember;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  const sigset_t set = set_of_signals();
  pthread_sigmask(SIG_BLOCK, &set, &mask_before_);
  for (std::size_t i = 0; i < signals.size(); ++i) sigaction(signals[i], &action, &before_[i]);
}

StopSignals::~StopSignals() {
  take_waiting();
  for (std::size_t i = 0; i < signals.size(); ++i) sigaction(signals[i], &before_[i], nullptr);
  pthread_sigmask(SIG_SETMASK, &mask_before_, nullptr);
}

bool StopSignals::received() {
  take_waiting();
  return stop_asked;
}

}  // namespace tessera::train
