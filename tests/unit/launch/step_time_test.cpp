// The model of a step's time against values worked out by hand, and where it must not go.
#include "launch/plan/step_time.hpp"

#include <gtest/gtest.h>

namespace tessera::launch {
namespace {

/// A million parameters in one bucket of 4 MB; numbers that can be divided in the head.
StepWork work() {
  return {.training_flops = 1e9, .batch = 64, .parameters = 1048576, .bucket_bytes = 1048576};
}
MachineRates rates() {
  return {.flops = 1e12,
          .memory = 1e9,
          .node_bandwidth = 4194304e3,
          .node_latency = 1e-6,
          .network_bandwidth = 4194304e2,
          .network_latency = 1e-5};
}

TEST(StepTime, OfOneRankIsComputeAndUpdate) {
  const StepTime time = step_time(work(), rates(), 1, 1);
  EXPECT_DOUBLE_EQ(time.compute, 0.064);
  EXPECT_DOUBLE_EQ(time.reduction, 0);
  EXPECT_DOUBLE_EQ(time.exposed_reduction, 0);
  EXPECT_DOUBLE_EQ(time.update, 1048576 * 28 / 1e9);
  EXPECT_DOUBLE_EQ(time.total(), time.compute + time.update);
}

TEST(StepTime, TermsAreThoseOfTheFormula) {
  const StepTime time = step_time(work(), rates(), 4, 2);
  EXPECT_DOUBLE_EQ(time.compute, 0.008);  // 8 pictures
  // node: 2 x 1/2 x 1 ms; network: 2 x 3/4 x 10 ms; one piece, 2 x (1 x 1 us + 2 x 10 us)
  EXPECT_NEAR(time.reduction, 1e-3 + 15e-3 + 42e-6, 1e-12);
  // four buckets, backward 2/3 x 8 ms of which the last quarter overlaps nothing
  EXPECT_NEAR(time.exposed_reduction, time.reduction - 0.008 * 2 / 3 * 3 / 4, 1e-12);
  EXPECT_DOUBLE_EQ(time.update, 1048576 / 2 * 28 / 1e9);
  EXPECT_NEAR(time.agreement, 3 * 21e-6, 1e-12);

  StepWork sharded = work();
  sharded.sharded = true;
  const StepTime of_shards = step_time(sharded, rates(), 4, 2);
  EXPECT_NEAR(of_shards.reduction + of_shards.gather, time.reduction, 1e-12);
  EXPECT_DOUBLE_EQ(of_shards.update, 1048576.0 / 8 * 28 / 1e9);
}

TEST(StepTime, ShortReductionsHideButForTheLastBucket) {
  MachineRates fast = rates();
  fast.network_bandwidth *= 1000;
  const StepTime time = step_time(work(), fast, 4, 2);
  EXPECT_DOUBLE_EQ(time.exposed_reduction, time.reduction / 4);
  StepWork accumulated = work();
  accumulated.micro_batch = 1;  // an eighth of the backward is left to hide behind
  EXPECT_GT(step_time(accumulated, fast, 4, 2).exposed_reduction, time.exposed_reduction);
}

TEST(StepTime, NeverFallsBelowWhatCannotBeShared) {
  double before = 1e9;
  for (std::int64_t nodes = 1; nodes <= 64; nodes *= 2) {
    const StepTime time = step_time(work(), rates(), nodes, 1);
    EXPECT_GE(time.total(), time.compute + time.update);
    EXPECT_GE(time.reduction, time.exposed_reduction);
    EXPECT_LE(time.compute, before);
    before = time.compute;
  }
  EXPECT_DOUBLE_EQ(step_time(work(), rates(), 33, 1).compute, step_time(work(), rates(), 63, 1).compute);
}

}  // namespace
}  // namespace tessera::launch
