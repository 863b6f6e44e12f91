#pragma once
// Invariant: the record of this process says at every moment what its main thread is doing, and counts what
// any of its threads has done. It lies in memory that others may read at any time, other processes too
// (comm/watchdog.hpp): all of it is atomic. Saying something costs a few stores, so that every operation,
// every piece of a file and every collective can.

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace tessera {

/// Bytes of zero are the record of a process that has said nothing yet.
struct ActivityRecord {
  static constexpr std::size_t text_bytes = 160;
  std::atomic<std::uint64_t> beats;    ///< grows with all that is done
  std::atomic<std::int64_t> step;      ///< of the run; 0: none yet
  std::atomic<std::int64_t> patience;  ///< how many times as long as usual this may take; 0 is 1
  std::atomic<std::uint64_t> waits;    ///< not 0: the main thread waits for other ranks
  std::atomic<std::uint64_t> version;  ///< odd while the text changes
  std::array<std::atomic<std::uint64_t>, text_bytes / 8> text;
};
static_assert(std::atomic<std::uint64_t>::is_always_lock_free &&
                  std::atomic<std::int64_t>::is_always_lock_free,
              "records are read by other processes");

/// What a record says.
struct Activity {
  std::string text;  ///< "stage 'small', micro-batch 2 of 4"; the outer activity first
  std::int64_t step = 0;
  std::int64_t patience = 1;
  bool waits = false;
  std::uint64_t beats = 0;
};
[[nodiscard]] Activity read_activity(const ActivityRecord& record);

/// The record of this process.
[[nodiscard]] ActivityRecord& activity_record();
/// Goes on in another record, which then says what this one says; null: in the one that every process has of
/// its own. Main thread. A record that was left may still receive beats of other threads: its memory stays.
void move_activity(ActivityRecord* to);

/// Something was done. Any thread.
inline void beat() { activity_record().beats.fetch_add(1, std::memory_order_relaxed); }
/// Called on the main thread whenever it begins to do something, for those who trace it; null: nobody.
void observe_activity(void (*observer)(const Activity& now));
/// The step that begins. Main thread.
void set_activity_step(std::int64_t step);

/// While one lives, the main thread does this, as a part of what it did before. Main thread; the newest ends
/// first.
class Doing {
 public:
  enum class Kind : std::uint8_t {
    work,
    wait,  ///< for other ranks
  };
  /// @param patience  how many times as long as usual it may take without a sign of progress: for what lasts
  /// long in one piece, such as syncing a large file.
  explicit Doing(std::string_view what, Kind kind = Kind::work, std::int64_t patience = 1);
  ~Doing();
  Doing(const Doing&) = delete;
  Doing& operator=(const Doing&) = delete;

 private:
  std::size_t length_before_;
  std::uint64_t waits_before_;
  std::int64_t patience_before_;
};

/// Of work that is rare and slow: opening data, reading and writing checkpoints, drawing samples.
inline constexpr std::int64_t slow_work = 10;

}  // namespace tessera
