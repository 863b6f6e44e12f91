#include "train/step_faults.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace tessera::train {
namespace {

using checkpoint::FaultCounters;
constexpr double infinity = std::numeric_limits<double>::infinity();

TEST(StepFaults, WhatIsNoNumberNeverCounts) {
  const FaultSettings settings;
  EXPECT_TRUE(step_fault(settings, {}, 0.5, 1e30).none());
  EXPECT_FALSE(step_fault(settings, {}, std::nan(""), 1).finite);
  EXPECT_FALSE(step_fault(settings, {}, 1, infinity).finite);
}

TEST(StepFaults, ANormIsJudgedOnceEnoughAreKnown) {
  const FaultSettings settings{.norm_limit = 3};
  FaultCounters counters;
  for (std::int64_t i = 0; i < fewest_norms; ++i) {
    EXPECT_TRUE(step_fault(settings, counters, 1, 100).none());
    count_taken(counters, i % 2 == 0 ? 1 : 3);
  }
  EXPECT_DOUBLE_EQ(counters.norm_mean, 2);  // all weigh the same until the memory is full
  EXPECT_TRUE(step_fault(settings, counters, 1, 5.99).none());
  const StepFault fault = step_fault(settings, counters, 1, 7);
  EXPECT_TRUE(fault.finite);
  EXPECT_EQ(fault.why, "its gradient has the norm 7, 3.5 times the mean of 2");
}

TEST(StepFaults, TheMeanForgets) {
  FaultCounters counters;
  for (int i = 0; i < 1000; ++i) count_taken(counters, 1);
  for (int i = 0; i < norm_memory; ++i) count_taken(counters, 2);
  EXPECT_NEAR(counters.norm_mean, 2 - std::pow(1 - 1.0 / norm_memory, norm_memory), 1e-12);
}

TEST(StepFaults, ManyInAWindowBringTheRunBack) {
  const FaultSettings settings{.skip_limit = 3, .skip_window = 10};
  FaultCounters counters;
  EXPECT_FALSE(count_skipped(settings, counters, 1));
  EXPECT_FALSE(count_skipped(settings, counters, 2));
  EXPECT_FALSE(count_skipped(settings, counters, 11));  // the first is ten steps back
  EXPECT_FALSE(count_skipped(settings, counters, 12));
  EXPECT_TRUE(count_skipped(settings, counters, 13));
  EXPECT_EQ(counters.skipped_steps, 5);
  FaultCounters then;
  then.norm_mean = 4;
  then.regular_step = 7;
  then.recent_skips = {6};
  const FaultCounters after = count_rollback(counters, then);
  EXPECT_EQ(after.rollbacks, 1);
  EXPECT_EQ(after.skipped_steps, 5);
  EXPECT_EQ(after.norm_mean, 4);
  EXPECT_EQ(after.regular_step, 7);
  EXPECT_TRUE(after.recent_skips.empty());
}

TEST(StepFaults, WithoutALimitAnyNumberIsLeftOut) {
  FaultCounters counters;
  for (int i = 0; i < 1000; ++i) EXPECT_FALSE(count_skipped({}, counters, i));
  EXPECT_TRUE(counters.recent_skips.empty());  // the checkpoint does not grow
}

}  // namespace
}  // namespace tessera::train
