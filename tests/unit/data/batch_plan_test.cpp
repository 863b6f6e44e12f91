// Step -> bucket against a plain simulation of the queues, and the promise about how often records are drawn.
#include "data/batch_plan.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <numeric>

#include "base/error.hpp"
#include "data/order.hpp"

namespace tessera::data {
namespace {

using Counts = std::vector<std::uint64_t>;

struct Case {
  Counts records;
  std::uint64_t batch;
};

const std::vector<Case> kCases{
    {{100, 37, 64, 5}, 8},                       // a bucket smaller than the batch
    {{3, 1, 2}, 16},                             // all of them smaller, several epochs per batch
    {{1000}, 32},                                // one bucket
    {{40, 40, 40}, 40},                          // exactly one batch each
    {{500, 0, 300, 1}, 7},                       // an empty one
    {{31, 32, 33, 34, 200, 1, 15, 16, 17}, 16},  // around the batch
};

// Batches of each bucket by the end of each epoch, by counting records into queues.
Counts queued_batches(const Case& sizes, std::uint64_t epochs) {
  Counts batches(sizes.records.size()), waiting(sizes.records.size());
  for (std::uint64_t k = 0; k < epochs; ++k) {
    for (std::size_t b = 0; b < waiting.size(); ++b) {
      waiting[b] += sizes.records[b];
      while (waiting[b] >= sizes.batch) {
        waiting[b] -= sizes.batch;
        ++batches[b];
      }
    }
  }
  return batches;
}

TEST(BatchPlan, EpochsHoldTheBatchesOfTheQueuesInOrder) {
  for (const Case& sizes : kCases) {
    const BatchPlan plan(sizes.records, 3, sizes.batch);
    Counts next(sizes.records.size());
    std::uint64_t step = 0;
    for (std::uint64_t epoch = 1; epoch <= 40; ++epoch) {
      const Counts expected = queued_batches(sizes, epoch);
      EXPECT_EQ(plan.steps_of_epochs(epoch),
                std::accumulate(expected.begin(), expected.end(), std::uint64_t{0}));
      for (; step < plan.steps_of_epochs(epoch); ++step) {
        const PlannedBatch batch = plan.at(step);
        ASSERT_EQ(batch.first_draw, next[batch.bucket]) << "step " << step;
        next[batch.bucket] += sizes.batch;
      }
      for (std::size_t b = 0; b < next.size(); ++b) EXPECT_EQ(next[b], expected[b] * sizes.batch);
      EXPECT_EQ(plan.taken_before(step), next);
    }
  }
}

TEST(BatchPlan, EachRecordIsDrawnAsOftenAsPromised) {
  const std::vector<std::uint64_t> shares{2, 5, 0, 3};  // of a bucket's records over uneven shards, in tenths
  for (const Case& sizes : kCases) {
    std::vector<DataOrder> orders;
    std::vector<std::size_t> order_of;
    for (std::size_t b = 0; b < sizes.records.size(); ++b) {
      order_of.push_back(orders.size());
      if (sizes.records[b] == 0) continue;
      Counts shards;
      std::uint64_t rest = sizes.records[b];
      for (const std::uint64_t share : shares) {
        shards.push_back(std::min(rest, (sizes.records[b] * share + 9) / 10));
        rest -= shards.back();
      }
      shards.push_back(rest);
      orders.emplace_back(shards, 3, 2, static_cast<std::uint32_t>(b));
    }
    const BatchPlan plan(sizes.records, 3, sizes.batch);
    std::vector<std::map<std::pair<std::uint32_t, std::uint64_t>, std::uint64_t>> drawn(sizes.records.size());
    std::uint64_t step = 0;
    for (std::uint64_t epoch = 1; epoch <= 12; ++epoch) {
      for (; step < plan.steps_of_epochs(epoch); ++step) {
        const PlannedBatch batch = plan.at(step);
        for (std::uint64_t i = 0; i < sizes.batch; ++i) {
          const Draw draw = orders[order_of[batch.bucket]].at(batch.first_draw + i);
          ++drawn[batch.bucket][{draw.shard, draw.record}];
        }
      }
      for (std::size_t b = 0; b < drawn.size(); ++b) {
        const std::uint64_t records = sizes.records[b];
        if (records == 0) continue;
        const std::uint64_t late = (sizes.batch - 1 + records - 1) / records;
        const std::uint64_t least = epoch > late ? epoch - late : 0;
        if (records + 1 >= sizes.batch) {
          EXPECT_LE(late, 1U);  // then k or k - 1 times
        }
        if (least > 0) {
          EXPECT_EQ(drawn[b].size(), records);
        }
        for (const auto& [record, times] : drawn[b]) {
          EXPECT_LE(times, epoch);
          EXPECT_GE(times, least);
        }
      }
    }
  }
}

TEST(BatchPlan, BucketsAdvanceInProportion) {
  const Case sizes{{5000, 2500, 800, 120}, 10};
  const BatchPlan plan(sizes.records, 8, sizes.batch);
  const std::uint64_t steps = plan.steps_of_epochs(1);
  Counts seen(4);
  for (std::uint64_t step = 0; step < steps; ++step) {
    ++seen[plan.at(step).bucket];
    // Each bucket is less than one batch from its share at the step's place, and the place is less than four
    // batches' worth from step / steps.
    for (std::size_t b = 0; b < 4; ++b) {
      const double whole = static_cast<double>(sizes.records[b]) / static_cast<double>(sizes.batch);
      const double share = whole * static_cast<double>(step + 1) / static_cast<double>(steps);
      EXPECT_NEAR(static_cast<double>(seen[b]), share, 1 + 4 * whole / static_cast<double>(steps)) << step;
    }
  }
}

TEST(BatchPlan, PlacesOfAnEpochAreUniform) {
  // One batch of a small bucket per epoch of fifty: over many epochs it comes at every time of the epoch.
  const BatchPlan plan({490, 10}, 4, 10);
  std::vector<double> tenths(10, 0);
  constexpr int kEpochs = 2000;
  for (std::uint64_t step = 0; step < 50 * kEpochs; ++step) {
    if (plan.at(step).bucket == 1) ++tenths[step % 50 / 5];
  }
  double chi2 = 0;
  for (const double count : tenths) chi2 += std::pow(count - kEpochs / 10.0, 2) / (kEpochs / 10.0);
  EXPECT_EQ(std::accumulate(tenths.begin(), tenths.end(), 0.0), kEpochs);
  EXPECT_LT(chi2, 27.9);  // 9 degrees of freedom, probability 0.001
}

TEST(BatchPlan, OrderDependsOnTheSeedAndTheEpoch) {
  const auto buckets = [](std::uint64_t seed, std::uint64_t epoch) {
    const BatchPlan plan({300, 300}, seed, 10);
    std::vector<std::size_t> list;
    for (std::uint64_t step = 0; step < 60; ++step) list.push_back(plan.at(60 * epoch + step).bucket);
    return list;
  };
  EXPECT_EQ(buckets(1, 0), buckets(1, 0));
  EXPECT_NE(buckets(1, 0), buckets(2, 0));
  EXPECT_NE(buckets(1, 0), buckets(1, 1));
}

TEST(BatchPlan, AnotherBatchSizeGoesOnWhereTheFirstStopped) {
  // Three stages of different batches: each bucket's sequence is drawn without a gap or a repeat, and at the
  // ends of later epochs all is as promised.
  const Counts records{100, 37, 64, 5};
  Counts taken(4);
  for (const auto& [batch, steps] : {std::pair{16U, 23U}, {5U, 31U}, {40U, 9U}}) {
    const BatchPlan plan(records, 3, batch, taken);
    for (std::uint64_t step = 0; step < steps; ++step) {
      EXPECT_EQ(plan.taken_before(step), taken);
      const PlannedBatch next = plan.at(step);
      ASSERT_EQ(next.first_draw, taken[next.bucket]);
      taken[next.bucket] += batch;
    }
  }
  const BatchPlan last(records, 3, 8, taken);
  for (std::uint64_t epoch = 8; epoch < 20; ++epoch) {
    const Counts after = last.taken_before(last.steps_of_epochs(epoch));
    for (std::size_t b = 0; b < 4; ++b) {
      EXPECT_LE(after[b], epoch * records[b]);
      EXPECT_GT(after[b] + 8, epoch * records[b]);
    }
  }
}

TEST(BatchPlan, FindsFarStepsAtOnce) {
  // Terabytes of training: forty buckets, a billion records, after a hundred epochs.
  Counts records;
  for (std::uint64_t b = 0; b < 40; ++b) records.push_back(1000 + b * b * b * 40'000);
  const std::uint64_t batch = 2048;
  const BatchPlan plan(records, 1, batch);
  const std::uint64_t step = plan.steps_of_epochs(100) + 12'345;
  const Counts taken = plan.taken_before(step);
  EXPECT_EQ(std::accumulate(taken.begin(), taken.end(), std::uint64_t{0}), step * batch);
  const PlannedBatch at = plan.at(step);
  EXPECT_EQ(at.first_draw, taken[at.bucket]);
  Counts after = taken;
  after[at.bucket] += batch;
  EXPECT_EQ(plan.taken_before(step + 1), after);
}

TEST(BatchPlan, RefusesNothing) {
  EXPECT_THROW(BatchPlan({}, 1, 4), Error);
  EXPECT_THROW(BatchPlan({0, 0}, 1, 4), Error);
  EXPECT_THROW(BatchPlan({5}, 1, 0), Error);
}

}  // namespace
}  // namespace tessera::data
