#include "base/timeline.hpp"

#include <algorithm>
#include <cstdio>
#include <set>

namespace tessera {
namespace {

/// Chrome counts in microseconds; three decimals keep the nanoseconds.
std::string microseconds(std::int64_t nanoseconds) {
  char text[48];
  std::snprintf(text, sizeof text, "%lld.%03lld", static_cast<long long>(nanoseconds / 1000),
                static_cast<long long>(nanoseconds % 1000));
  return text;
}

class Lines {
 public:
  void add(const std::string& fields) { text_ += (text_.empty() ? "{" : ",\n{") + fields + "}"; }
  [[nodiscard]] std::string& text() { return text_; }

 private:
  std::string text_;
};

std::string lane_name(int lane) { return lane == 0 ? "step" : "reader " + std::to_string(lane); }

}  // namespace

Timeline& timeline() {
  static auto* const the_one = new Timeline;
  return *the_one;
}

void Timeline::start(std::size_t capacity) {
  slots_ = std::make_unique<Slot[]>(capacity);
  capacity_ = capacity;
  taken_ = 0;
  start_ = Clock::now();
  on_.store(true, std::memory_order_release);
}

void Timeline::add(const TimelineEvent& event) {
  if (!on_.load(std::memory_order_acquire)) return;
  const std::size_t at = taken_.fetch_add(1, std::memory_order_relaxed);
  if (at >= capacity_) return;
  slots_[at].event = event;
  slots_[at].written.store(true, std::memory_order_release);
}

std::vector<TimelineEvent> Timeline::events() const {
  std::vector<TimelineEvent> events;
  const std::size_t count = std::min(taken_.load(), capacity_);
  for (std::size_t i = 0; i < count; ++i) {
    if (slots_[i].written.load(std::memory_order_acquire)) events.push_back(slots_[i].event);
  }
  return events;
}

std::size_t Timeline::dropped() const { return taken_.load() - std::min(taken_.load(), capacity_); }

std::string chrome_trace(const Timeline& recorded, int rank) {
  Lines lines;
  const std::string process = "\"pid\":" + std::to_string(rank);
  const auto named = [&](const std::string& what, int lane, const std::string& name) {
    lines.add("\"ph\":\"M\"," + process + ",\"tid\":" + std::to_string(lane) + ",\"name\":\"" + what +
              "\",\"args\":{\"name\":\"" + name + "\"}");
  };
  named("process_name", 0, "rank " + std::to_string(rank));
  std::set<int> lanes;
  std::size_t flights = 0;
  for (const TimelineEvent& event : recorded.events()) {
    const std::string name = process + ",\"name\":\"" + event.name + "\"";
    const std::string number =
        event.number < 0 ? "" : ",\"args\":{\"number\":" + std::to_string(event.number) + "}";
    if (event.lane != TimelineEvent::flight) {
      if (lanes.insert(event.lane).second) named("thread_name", event.lane, lane_name(event.lane));
      lines.add("\"ph\":\"X\"," + name + ",\"tid\":" + std::to_string(event.lane) + ",\"ts\":" +
                microseconds(event.begin) + ",\"dur\":" + microseconds(event.end - event.begin) + number);
      continue;
    }
    // The id tells flights of one name apart; ranks have their own.
    const std::string id = ",\"tid\":0,\"cat\":\"flight\",\"id\":\"" + std::to_string(rank) + "." +
                           std::to_string(flights++) + "\"";
    lines.add("\"ph\":\"b\"," + name + id + ",\"ts\":" + microseconds(event.begin) + number);
    lines.add("\"ph\":\"e\"," + name + id + ",\"ts\":" + microseconds(event.end));
  }
  if (recorded.dropped() > 0) {
    named("process_labels", 0, std::to_string(recorded.dropped()) + " events found no room");
  }
  return std::move(lines.text());
}

}  // namespace tessera
