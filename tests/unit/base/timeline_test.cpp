// The timeline as Chrome's trace format: parsed again, with the spans that were recorded and no others.
#include "base/timeline.hpp"

#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <thread>

namespace tessera {
namespace {

nlohmann::json parsed(const Timeline& recorded, int rank) {
  return nlohmann::json::parse("[" + chrome_trace(recorded, rank) + "]");
}

nlohmann::json only(const nlohmann::json& events, const std::string& phase) {
  nlohmann::json found = nlohmann::json::array();
  for (const auto& event : events) {
    if (event["ph"] == phase) found.push_back(event);
  }
  return found;
}

TEST(Timeline, SpansAreCompleteEventsInMicroseconds) {
  Timeline recorded;
  recorded.start(10);
  recorded.add({"forward", 0, 1'000, 5'500, 3});
  recorded.add({"read micro-batch", 2, 2'001, 2'004});
  const nlohmann::json events = parsed(recorded, 7);
  const nlohmann::json spans = only(events, "X");
  ASSERT_EQ(spans.size(), 2U);
  EXPECT_EQ(spans[0]["name"], "forward");
  EXPECT_EQ(spans[0]["pid"], 7);
  EXPECT_EQ(spans[0]["tid"], 0);
  EXPECT_DOUBLE_EQ(spans[0]["ts"].get<double>(), 1);
  EXPECT_DOUBLE_EQ(spans[0]["dur"].get<double>(), 4.5);
  EXPECT_EQ(spans[0]["args"]["number"], 3);
  EXPECT_EQ(spans[1]["tid"], 2);
  EXPECT_DOUBLE_EQ(spans[1]["ts"].get<double>(), 2.001);
  EXPECT_DOUBLE_EQ(spans[1]["dur"].get<double>(), 0.003);
  EXPECT_FALSE(spans[1].contains("args"));
  std::map<std::string, int> named;
  for (const auto& event : only(events, "M")) ++named[event["args"]["name"].get<std::string>()];
  EXPECT_EQ(named, (std::map<std::string, int>{{"rank 7", 1}, {"step", 1}, {"reader 2", 1}}));
}

TEST(Timeline, FlightsOverlapWithoutMixing) {
  Timeline recorded;
  recorded.start(10);
  // Ended in another order than begun, and under the same name.
  recorded.add({"reduce bucket", TimelineEvent::flight, 1'000, 9'000, 0});
  recorded.add({"reduce bucket", TimelineEvent::flight, 3'000, 6'000, 1});
  recorded.add({"backward", 0, 0, 7'000});
  std::map<std::string, std::array<double, 2>> flights;
  const nlohmann::json events = parsed(recorded, 1);
  for (const auto& event : only(events, "b")) {
    EXPECT_EQ(event["cat"], "flight");
    EXPECT_TRUE(flights.emplace(event["id"], std::array{event["ts"].get<double>(), -1.0}).second);
  }
  for (const auto& event : only(events, "e")) {
    EXPECT_EQ(event["name"], "reduce bucket");
    flights.at(event["id"])[1] = event["ts"];
  }
  ASSERT_EQ(flights.size(), 2U);
  EXPECT_EQ(flights["1.0"], (std::array{1.0, 9.0}));
  EXPECT_EQ(flights["1.1"], (std::array{3.0, 6.0}));
}

TEST(Timeline, HasRoomForSoManyAndCountsTheRest) {
  Timeline recorded;
  recorded.start(100);
  std::vector<std::thread> threads;
  for (int t = 1; t <= 4; ++t) {
    threads.emplace_back([&recorded, t] {
      for (int i = 0; i < 50; ++i) recorded.add({"work", t, i, i + 1});
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(recorded.events().size(), 100U);
  EXPECT_EQ(recorded.dropped(), 100U);
  const nlohmann::json events = parsed(recorded, 0);
  EXPECT_EQ(only(events, "X").size(), 100U);
  EXPECT_EQ(only(events, "M").back()["args"]["name"], "100 events found no room");
  recorded.start(5);
  EXPECT_TRUE(recorded.events().empty());
}

TEST(Timeline, SpansRecordTheirOwnLife) {
  { const TimelineSpan unseen("before"); }
  timeline().start(10);
  {
    TimelineSpan outer("outer", 5);
    { const TimelineSpan inner("inner"); }
    outer.end();
    outer.end();  // once only
  }
  auto late = std::make_unique<TimelineSpan>("late");
  timeline().stop();
  late.reset();
  const std::vector<TimelineEvent> events = timeline().events();
  ASSERT_EQ(events.size(), 2U);
  EXPECT_STREQ(events[0].name, "inner");
  EXPECT_STREQ(events[1].name, "outer");
  EXPECT_LE(events[1].begin, events[0].begin);
  EXPECT_LE(events[0].begin, events[0].end);
  EXPECT_LE(events[0].end, events[1].end);
}

}  // namespace
}  // namespace tessera
