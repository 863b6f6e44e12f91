#include "comm/watchdog.hpp"

#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <utility>

namespace tessera::comm {

struct Watchdog::Seat {
  ActivityRecord activity;
  std::atomic<std::int64_t> process;  ///< 0: nobody sits here
  std::atomic<std::int64_t> rank;
  std::atomic<std::uint64_t> claimed;  ///< of the first seat: somebody speaks for the node
};

namespace {

using Clock = std::chrono::steady_clock;

/// Whoever holds up the others speaks first, since it knows best; then those that wait for it; last a node
/// whose ranks all wait, so that the one that they wait for may speak.
constexpr double turn_seconds = 5;

std::string host_name() {
  std::array<char, 256> name{};
  gethostname(name.data(), name.size() - 1);
  return name.data();
}

char state_of(std::int64_t process) {
  std::ifstream file("/proc/" + std::to_string(process) + "/stat");
  std::string line;
  if (!std::getline(file, line)) return 'Z';
  const std::size_t name_end = line.rfind(") ");  // the name may hold anything
  return name_end == std::string::npos || name_end + 2 >= line.size() ? '?' : line[name_end + 2];
}

const char* meaning_of(char state) {
  switch (state) {
    case 'T':
    case 't':
      return ", stopped by a signal";
    case 'Z':
    case 'X':
      return ", ended";
    case 'D':
      return ", waiting for a disk or network";
    default:
      return "";
  }
}

std::string place_of(const Activity& activity) {
  std::string place = activity.step > 0 ? "step " + std::to_string(activity.step) : "";
  if (!activity.text.empty()) place += (place.empty() ? "" : ", ") + activity.text;
  return place.empty() ? "before the first step" : place;
}

bool holds_up(const WatchedRank& rank) {
  return !rank.activity.waits || std::string("TtZX").find(rank.state) != std::string::npos;
}

/// "rank 3", "ranks 0, 2-4"
std::string list_of(const std::vector<int>& ranks) {
  std::string text = ranks.size() == 1 ? "rank " : "ranks ";
  for (std::size_t i = 0; i < ranks.size();) {
    std::size_t last = i;
    while (last + 1 < ranks.size() && ranks[last + 1] == ranks[last] + 1) ++last;
    text += (i == 0 ? "" : ", ") + std::to_string(ranks[i]);
    if (last > i) text += "-" + std::to_string(ranks[last]);
    i = last + 1;
  }
  return text;
}

}  // namespace

std::string describe_standstill(const std::string& node, const std::vector<WatchedRank>& ranks,
                                bool all_here) {
  std::string text;
  for (const WatchedRank& rank : ranks) {
    if (!holds_up(rank)) continue;
    text += "rank " + std::to_string(rank.rank) + " (process " + std::to_string(rank.process) + " on " +
            node + meaning_of(rank.state) + ") hangs in: " + place_of(rank.activity) + "; ";
  }
  const bool found = !text.empty();
  std::vector<std::pair<std::string, std::vector<int>>> waiting;  // by place
  for (const WatchedRank& rank : ranks) {
    if (holds_up(rank)) continue;
    const std::string place = place_of(rank.activity);
    const auto same = std::ranges::find_if(waiting, [&](const auto& group) { return group.first == place; });
    if (same == waiting.end()) {
      waiting.emplace_back(place, std::vector{rank.rank});
    } else {
      same->second.push_back(rank.rank);
    }
  }
  for (const auto& [place, who] : waiting) {
    text += list_of(who) + (who.size() == 1 ? " waits" : " wait") + (found ? "" : " on " + node) +
            " for the others in: " + place + "; ";
  }
  if (found) return text.substr(0, text.size() - 2);
  return text + (all_here ? "all ranks wait, none has ended or stopped"
                          : "the rank that has not arrived is on another node");
}

Watchdog::Watchdog(const Communicator& world, double seconds, Alarm alarm)
    : world_(world),
      seconds_(seconds),
      alarm_(std::move(alarm)),
      // Without common memory every rank watches itself alone.
      arena_(world, static_cast<std::size_t>(world.size()) * sizeof(Seat),
             SharedArena::supported(world) ? Placement::shared : Placement::private_memory),
      seats_(reinterpret_cast<Seat*>(arena_.data())) {
  Seat& own = seats_[world.node_rank()];
  own.rank = world.rank();
  move_activity(&own.activity);
  own.process = getpid();
  world.barrier();  // all seats are taken
  if (seconds <= 0) return;
  // Signals stay with the main thread: new threads inherit the mask.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this] { watch(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

Watchdog::~Watchdog() {
  {
    const std::lock_guard lock(mutex_);
    end_ = true;
  }
  ended_.notify_all();
  if (thread_.joinable()) thread_.join();
  // Others may go on watching this rank for a moment, and shall not take it for one that hangs.
  seats_[world_.node_rank()].process = 0;
  move_activity(nullptr);
  static std::vector<SharedArena> left;  // a thread may be about to write its beat there
  left.push_back(arena_);
}

void Watchdog::watch() {
  const double interval = std::clamp(seconds_ / 20, 0.01, 0.5);
  std::vector<std::uint64_t> seen(static_cast<std::size_t>(world_.node_size()));
  double still = 0;
  auto before = Clock::now();
  std::unique_lock lock(mutex_);
  while (!ended_.wait_for(lock, std::chrono::duration<double>(interval), [&] { return end_; })) {
    const auto now = Clock::now();
    // A gap means that this process did not run either.
    still += std::min(std::chrono::duration<double>(now - before).count(), 2 * interval);
    before = now;
    for (std::size_t i = 0; i < seen.size(); ++i) {
      const std::uint64_t beats = seats_[i].activity.beats.load(std::memory_order_relaxed);
      if (beats != seen[i]) still = 0;
      seen[i] = beats;
    }
    if (!due(still)) continue;
    if (seats_[0].claimed.exchange(1) != 0) return alarm_(nullptr);
    const Error error = findings(still);
    return alarm_(&error);
  }
}

bool Watchdog::due(double still) const {
  std::int64_t patience = 1;
  bool somebody_works = false;
  for (int i = 0; i < world_.node_size(); ++i) {
    if (seats_[i].process == 0) continue;
    const Activity activity = read_activity(seats_[i].activity);
    patience = std::max(patience, activity.patience);
    somebody_works = somebody_works || !activity.waits;
  }
  const bool this_one_works = !read_activity(seats_[world_.node_rank()].activity).waits;
  const double turn = std::min(turn_seconds, seconds_);
  const double limit = seconds_ * static_cast<double>(patience);
  return still >= limit + (this_one_works ? 0 : somebody_works ? turn : 3 * turn);
}

Error Watchdog::findings(double still) const {
  std::vector<WatchedRank> ranks;
  for (int i = 0; i < world_.node_size(); ++i) {
    const std::int64_t process = seats_[i].process;
    if (process == 0) continue;
    ranks.push_back(
        {static_cast<int>(seats_[i].rank), process, read_activity(seats_[i].activity), state_of(process)});
  }
  std::ranges::sort(ranks, {}, &WatchedRank::rank);
  std::array<char, 32> time{};
  std::snprintf(time.data(), time.size(), "%.1f", still);
  return Error(
      "nothing was done for " + std::string(time.data()) +
          " s: " + describe_standstill(host_name(), ranks, world_.on_one_node()),
      "watchdog",
      "Look there for the cause; the last checkpoint is intact, --resume goes on from it. Work that is "
      "only slow needs a larger [run] watchdog_seconds.");
}

}  // namespace tessera::comm
