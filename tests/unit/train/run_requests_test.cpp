// When a job's end stops a run, and what is said about a stop. The files are tested with whole runs
// (tests/mpi).
#include "train/run_requests.hpp"

#include <gtest/gtest.h>

namespace tessera::train {
namespace {

constexpr std::int64_t now = 1'700'000'000;

std::optional<std::int64_t> stop_after(std::int64_t seconds_left, double margin) {
  const std::string end = std::to_string(now + seconds_left);
  const auto stop = job_stop_time(end.c_str(), now, margin);
  return stop ? std::optional(*stop - now) : std::nullopt;
}

TEST(JobStopTime, IsTheMarginBeforeTheEnd) {
  EXPECT_EQ(stop_after(7200, 5), 6900);
  EXPECT_EQ(stop_after(7200, 0.5), 7170);
}

TEST(JobStopTime, LeavesHalfOfAShortJob) {
  EXPECT_EQ(stop_after(60, 5), 30);
  EXPECT_EQ(stop_after(600, 5), 300);
}

TEST(JobStopTime, IsNothingWithoutAnEndThatIsToCome) {
  EXPECT_EQ(job_stop_time(nullptr, now, 5), std::nullopt);
  EXPECT_EQ(stop_after(0, 5), std::nullopt);
  EXPECT_EQ(stop_after(-10, 5), std::nullopt);
  for (const char* text : {"", "Unknown", "2026-01-01T00:00:00", "1800000000x"}) {
    EXPECT_EQ(job_stop_time(text, now, 5), std::nullopt) << text;
  }
}

TEST(RequestSet, NamesWhatStops) {
  RequestSet set;
  EXPECT_FALSE(set.stop());
  set.add(Request::checkpoint_file);
  EXPECT_FALSE(set.stop());
  EXPECT_EQ(set.reasons(), "");
  set.add(Request::job_end);
  set.add(Request::signal);
  EXPECT_TRUE(set.stop());
  EXPECT_EQ(set.reasons(), "a signal, the end of the Slurm job");
}

}  // namespace
}  // namespace tessera::train
