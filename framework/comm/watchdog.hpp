#pragma once
// Invariant: while one lives, a thread of every rank looks at what the ranks of its node do
// (base/activity.hpp, in memory that they share), and never calls MPI. A rank that hangs makes the others
// wait for it, so a node on which nothing was done for the set time has a rank that hangs, or waits for one
// on another node. One rank of the node then says which, and where all of them are.
//
// Time counts only while this process runs: a job that was stopped as a whole (SIGSTOP, a machine put to
// sleep) goes on.

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/activity.hpp"
#include "base/error.hpp"
#include "comm/communicator.hpp"
#include "comm/shared_arena.hpp"

namespace tessera::comm {

class Watchdog {
 public:
  /// What happens to a job that hangs. Called on the watchdog's thread, on every rank; it should not return.
  /// @param error  what to tell; null on a rank whose node has another speaker, which ends the job.
  using Alarm = std::function<void(const Error* error)>;

  /// @param seconds  without any progress on a node; 0: this rank does not watch, and the others see it
  /// nevertheless. A Doing's patience multiplies it. Collective.
  Watchdog(const Communicator& world, double seconds, Alarm alarm);
  ~Watchdog();
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

 private:
  struct Seat;  // of a rank of the node
  void watch();
  /// Whether this rank is to speak, once the node stands still for `still` seconds.
  [[nodiscard]] bool due(double still) const;
  [[nodiscard]] Error findings(double still) const;

  Communicator world_;
  double seconds_;
  Alarm alarm_;
  SharedArena arena_;
  Seat* seats_;
  std::mutex mutex_;
  std::condition_variable ended_;
  bool end_ = false;
  std::thread thread_;
};

/// A rank as the watchdog finds it.
struct WatchedRank {
  int rank = 0;
  std::int64_t process = 0;
  Activity activity;
  char state = '?';  ///< the system's letter for its process: R, S, D, T (stopped), Z (ended); ?: unknown
};

/// One sentence: who holds up the others and where, who waits and where.
/// @param node  the name of the machine. @param ranks  those on it. @param all_here  there are no others
[[nodiscard]] std::string describe_standstill(const std::string& node, const std::vector<WatchedRank>& ranks,
                                              bool all_here);

}  // namespace tessera::comm
