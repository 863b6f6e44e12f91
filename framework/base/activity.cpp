#include "base/activity.hpp"

#include <algorithm>
#include <cstring>

namespace tessera {
namespace {

using Words = std::array<std::uint64_t, ActivityRecord::text_bytes / 8>;

ActivityRecord own_record;
std::atomic<ActivityRecord*> current{&own_record};

// What the main thread says: the texts of all Doing that live, one after another.
std::array<char, ActivityRecord::text_bytes> said{};
std::size_t said_length = 0;
void (*observing)(const Activity&) = nullptr;

void publish(ActivityRecord& record) {
  Words words{};
  std::memcpy(words.data(), said.data(), said_length);
  const std::uint64_t version = record.version.load(std::memory_order_relaxed);
  record.version.store(version + 1, std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_release);
  for (std::size_t i = 0; i < words.size(); ++i) record.text[i].store(words[i], std::memory_order_relaxed);
  record.version.store(version + 2, std::memory_order_release);
}

std::string read_text(const ActivityRecord& record) {
  Words words{};
  for (int tries = 0; tries < 1000; ++tries) {
    const std::uint64_t before = record.version.load(std::memory_order_acquire);
    for (std::size_t i = 0; i < words.size(); ++i) words[i] = record.text[i].load(std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_acquire);
    if (before % 2 == 0 && before == record.version.load(std::memory_order_relaxed)) break;
  }
  // A writer that was stopped in the middle leaves a text that is partly old: still of use to a reader.
  std::string text(reinterpret_cast<const char*>(words.data()), sizeof(words));
  return text.substr(0, text.find('\0'));
}

}  // namespace

ActivityRecord& activity_record() { return *current.load(std::memory_order_relaxed); }

void move_activity(ActivityRecord* to) {
  const ActivityRecord& from = activity_record();
  ActivityRecord& next = to == nullptr ? own_record : *to;
  next.beats = from.beats.load();
  next.step = from.step.load();
  next.patience = from.patience.load();
  next.waits = from.waits.load();
  publish(next);
  current = &next;
}

void observe_activity(void (*observer)(const Activity&)) { observing = observer; }

void set_activity_step(std::int64_t step) {
  activity_record().step.store(step, std::memory_order_relaxed);
  beat();
}

Activity read_activity(const ActivityRecord& record) {
  return {.text = read_text(record),
          .step = record.step.load(std::memory_order_relaxed),
          .patience = std::max<std::int64_t>(1, record.patience.load(std::memory_order_relaxed)),
          .waits = record.waits.load(std::memory_order_relaxed) != 0,
          .beats = record.beats.load(std::memory_order_relaxed)};
}

Doing::Doing(std::string_view what, Kind kind, std::int64_t patience) : length_before_(said_length) {
  ActivityRecord& record = activity_record();
  waits_before_ = record.waits.load(std::memory_order_relaxed);
  patience_before_ = record.patience.load(std::memory_order_relaxed);
  for (const std::string_view part : {std::string_view(said_length > 0 ? ", " : ""), what}) {
    const std::size_t fits = std::min(part.size(), said.size() - 1 - said_length);
    std::memcpy(said.data() + said_length, part.data(), fits);
    said_length += fits;
  }
  publish(record);
  record.patience.store(std::max(patience, patience_before_), std::memory_order_relaxed);
  if (kind == Kind::wait) record.waits.store(1, std::memory_order_relaxed);
  beat();
  if (observing != nullptr) observing(read_activity(record));
}

Doing::~Doing() {
  ActivityRecord& record = activity_record();
  said_length = length_before_;
  publish(record);
  record.patience.store(patience_before_, std::memory_order_relaxed);
  record.waits.store(waits_before_, std::memory_order_relaxed);
  beat();
}

}  // namespace tessera
