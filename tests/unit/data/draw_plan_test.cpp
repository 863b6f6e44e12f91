// Plans of data sets far larger than any that a test could write: found at once, anywhere in a run, and how
// often each record is drawn.
#include "data/draw_plan.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <map>
#include <numeric>
#include <set>

#include "unit/data/simulated_shards.hpp"

namespace tessera::data {
namespace {

using test::simulated_index;

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

LoaderConfig config_of(std::uint64_t batch, bool buckets) {
  return {.resolution = 256, .buckets = buckets, .global_batch = batch, .seed = 11};
}

MicroDraws at(DrawPlan& plan, std::uint64_t task) {
  MicroDraws draws;
  plan.find(task, draws);
  return draws;
}

using Record = std::pair<std::uint32_t, std::uint64_t>;
void count(const MicroDraws& draws, std::map<Record, std::uint64_t>& counts) {
  for (const Draw& draw : draws.draws) ++counts[{draw.shard, draw.record}];
}

/// 300 shards of 1 to 5 records in each of six buckets, some of them without any.
ShardIndex small_index() {
  return simulated_index(300, 6, [](std::size_t s, std::size_t b) { return (s * 7 + b * 3) % (b + 3); });
}

TEST(DrawPlan, BucketsDrawEachRecordKTimesOrOnceLess) {
  const Dataset dataset(small_index());
  constexpr std::uint64_t kBatch = 96;
  DrawPlan plan(dataset, config_of(kBatch, true));
  std::vector<std::uint64_t> records;
  for (const DatasetBucket& bucket : dataset.buckets()) {
    ASSERT_GE(bucket.records, kBatch - 1);
    records.push_back(bucket.records);
  }
  const BatchPlan batches(records, 11, kBatch);
  std::map<Record, std::uint64_t> counts;
  std::uint64_t step = 0;
  for (std::uint64_t epoch = 1; epoch <= 5; ++epoch) {
    for (; step < batches.steps_of_epochs(epoch); ++step) count(at(plan, step), counts);
    if (epoch > 1) {
      EXPECT_EQ(counts.size(), dataset.records());
    }
    for (const auto& [record, times] : counts) ASSERT_TRUE(times == epoch || times == epoch - 1);
  }
}

TEST(DrawPlan, PathsSideBySideAreMixedByTheirSizes) {
  // 40 shards of one data set and 4 of another: one part, each record once per epoch.
  const Dataset dataset(simulated_index(44, 1, [](std::size_t s, std::size_t) { return s < 40 ? 50 : 33; }));
  DrawPlan plan(dataset, config_of(64, false));
  std::map<Record, std::uint64_t> counts;
  for (std::uint64_t draws = 0; draws < 64 * dataset.records(); draws += 64)
    count(at(plan, draws / 64), counts);
  ASSERT_EQ(counts.size(), dataset.records());
  for (const auto& [record, times] : counts) ASSERT_EQ(times, 64U);
}

TEST(DrawPlan, MixedPartsHaveEpochsAndWindowsOfTheirOwn) {
  // A small part beside a large one: its records are mixed with each other all the same.
  const Dataset dataset(simulated_index(420, 1, [](std::size_t, std::size_t) { return 30; }));
  LoaderConfig config = config_of(40, false);
  config.mixture = {{400, 0.75, 1}, {20, 0.25, 1}};
  config.window_shards = 10;
  DrawPlan plan(dataset, config);
  std::map<Record, std::uint64_t> counts;
  for (std::uint64_t step = 0; step < 150; ++step) {
    const MicroDraws draws = at(plan, step);
    for (std::size_t i = 0; i < 40; ++i) EXPECT_EQ(draws.draws[i].shard >= 400, i >= 30);
    count(draws, counts);
    if (step != 29) continue;
    std::set<std::uint32_t> shards;  // after 300 draws of the small part: one window of ten shards
    for (const auto& [record, times] : counts) {
      if (record.first >= 400) shards.insert(record.first);
    }
    EXPECT_EQ(shards.size(), 10U);
  }
  for (const auto& [record, times] : counts) {
    if (record.first >= 400) {
      EXPECT_TRUE(times == 2 || times == 3);  // 1,500 draws of 600
    } else {
      EXPECT_EQ(times, 1U);  // 4,500 of 12,000
    }
  }
  EXPECT_EQ(plan.shards_to_hold(), 40U);  // two windows of each part
}

TEST(DrawPlan, RanksShareOutEveryStepAndAgreeOnItsBucket) {
  const Dataset dataset(small_index());
  LoaderConfig config = config_of(1500, true);
  DrawPlan whole(dataset, config);
  constexpr std::uint64_t kRanks = 1024;
  config.ranks = kRanks;
  for (const std::uint64_t step : {0, 3}) {
    const MicroDraws expected = at(whole, step);
    std::vector<Draw> shared;
    for (config.rank = 0; config.rank < kRanks; ++config.rank) {
      DrawPlan plan(dataset, config);
      const MicroDraws own = at(plan, step);
      EXPECT_EQ(own.bucket, expected.bucket);
      EXPECT_EQ(own.grid, expected.grid);
      EXPECT_EQ(own.position, shared.size());
      shared.insert(shared.end(), own.draws.begin(), own.draws.end());
    }
    EXPECT_EQ(shared, expected.draws);
  }
}

/// 37 million records in 40,000 shards, in forty aspect buckets.
TEST(DrawPlan, MillionsOfRecordsStartAtOnceAndAnywhere) {
  constexpr std::size_t kShards = 40'000;
  // most pictures are nearly square
  const auto records = [](std::size_t s, std::size_t b) {
    return (s + 1) % (b + 1) == 0 ? 380 / (b + 1) : 9;
  };
  auto start = Clock::now();
  const std::string bytes = simulated_index(kShards, 40, records).encoded();
  std::printf("index of %.1f MB made in %.2f s\n", static_cast<double>(bytes.size()) / 1e6,
              seconds_since(start));
  start = Clock::now();
  const Dataset dataset(ShardIndex::decoded(bytes, "test"));
  std::printf("opened in %.2f s\n", seconds_since(start));
  EXPECT_GT(dataset.records(), 37'000'000U);
  EXPECT_EQ(dataset.shards(), kShards);
  EXPECT_LT(bytes.size() / kShards, 1500U);

  LoaderConfig config = config_of(2048, true);
  config.rank = 300;
  config.ranks = 1024;
  start = Clock::now();
  DrawPlan plan(dataset, config);
  (void)at(plan, 0);
  std::printf("first micro-batch planned in %.2f s\n", seconds_since(start));

  // Resumed in the middle of the 21st epoch: the same draws, found at once.
  constexpr std::uint64_t kStep = 370'000;
  config.first_step = kStep;
  config.first_draw = kStep * 2048;
  start = Clock::now();
  DrawPlan resumed(dataset, config);
  const MicroDraws found = at(resumed, 5);
  const double seconds = seconds_since(start);
  std::printf("step %llu planned in %.2f s\n", static_cast<unsigned long long>(kStep), seconds);
  EXPECT_LT(seconds, 5);
  EXPECT_EQ(found.draws.front().epoch, 20U);
  EXPECT_EQ(found.draws, at(plan, kStep + 5).draws);
  for (const Draw& draw : found.draws) {
    const DatasetBucket& bucket = dataset.buckets()[found.bucket];
    EXPECT_GE(draw.record, bucket.shard_first[draw.shard]);
    EXPECT_LT(draw.record, bucket.shard_first[draw.shard] + bucket.shard_records[draw.shard]);
  }
  // Few shards are in use at a time: a window has 15,000 pictures, which seven steps draw.
  std::set<std::uint32_t> shards;
  config = config_of(2048, true);
  DrawPlan whole(dataset, config);
  for (std::uint64_t step = 1000, square = 0; square < 4; ++step) {
    const MicroDraws draws = at(whole, step);
    if (dataset.buckets()[draws.bucket].ratio != 1) continue;
    ++square;
    for (const Draw& draw : draws.draws) shards.insert(draw.shard);
  }
  EXPECT_LE(shards.size(), whole.shards_to_hold() + 16);
}

TEST(Dataset, RefusesMoreOpenShardsThanTheSystemAllows) {
  const Dataset dataset(simulated_index(3, 1, [](std::size_t, std::size_t) { return 1; }));
  dataset.make_room(64);
  try {
    dataset.make_room(std::size_t{1} << 40);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(),
                testing::AllOf(testing::HasSubstr("window_shards"), testing::HasSubstr("ulimit")));
  }
}

}  // namespace
}  // namespace tessera::data
