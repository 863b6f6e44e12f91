#pragma once
// Invariant: recording never waits, never allocates and never fails: events go to memory that start() took,
// and those beyond it are counted and dropped. While the timeline is off, a span costs one load.
//
// What a process does when, for chrome://tracing and Perfetto: spans on lanes (those of one lane lie inside
// or after one another), and flights, which may overlap anything (a reduction that goes on while the rank
// computes). Names are string literals. Any thread.

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace tessera {

/// Lane 0 is the main thread; others are numbered by those who use them.
struct TimelineEvent {
  static constexpr int flight = -1;  ///< instead of a lane
  const char* name = nullptr;
  int lane = 0;
  std::int64_t begin = 0;    ///< nanoseconds since start()
  std::int64_t end = 0;      ///< likewise
  std::int64_t number = -1;  ///< of the step, bucket or micro-batch; -1: none
};

class Timeline {
 public:
  /// Forgets what there was and records up to `capacity` events from now on. No span may be open.
  void start(std::size_t capacity);
  /// What is recorded stays; spans that are open are not recorded any more.
  void stop() { on_.store(false, std::memory_order_relaxed); }
  [[nodiscard]] bool on() const { return on_.load(std::memory_order_relaxed); }
  /// Nanoseconds since start().
  [[nodiscard]] std::int64_t now() const {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - start_).count();
  }
  void add(const TimelineEvent& event);

  /// In the order in which they ended.
  [[nodiscard]] std::vector<TimelineEvent> events() const;
  /// Events that found no room.
  [[nodiscard]] std::size_t dropped() const;

 private:
  using Clock = std::chrono::steady_clock;
  struct Slot {
    TimelineEvent event;
    std::atomic<bool> written{false};
  };
  std::atomic<bool> on_{false};
  std::atomic<std::size_t> taken_{0};
  Clock::time_point start_{};
  std::size_t capacity_ = 0;
  std::unique_ptr<Slot[]> slots_;
};

/// The one of this process, never destroyed.
Timeline& timeline();

/// Records its own life.
class TimelineSpan {
 public:
  explicit TimelineSpan(const char* name, std::int64_t number = -1, int lane = 0)
      : event_{name, lane, timeline().on() ? timeline().now() : -1, 0, number} {}
  ~TimelineSpan() { end(); }
  TimelineSpan(const TimelineSpan&) = delete;
  TimelineSpan& operator=(const TimelineSpan&) = delete;
  /// Before its life ends.
  void end() {
    if (event_.begin < 0) return;
    event_.end = timeline().now();
    timeline().add(event_);
    event_.begin = -1;
  }

 private:
  TimelineEvent event_;
};

/// The events as Chrome's trace format has them, one JSON object a line, each line but the first after a
/// comma: a process of the trace is a rank, a thread of it a lane. To be put between "[" and "]".
[[nodiscard]] std::string chrome_trace(const Timeline& recorded, int rank);

}  // namespace tessera
