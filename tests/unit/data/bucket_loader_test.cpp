// The loader in aspect buckets: batches of one bucket, the same for every number of ranks, resumable
// anywhere.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "unit/data/loaded_samples.hpp"

namespace tessera::data {
namespace {

using test::collect;
using test::sample_header;
using test::sample_record;
using test::Samples;
using test::TemporaryFolder;
using testing::AllOf;
using testing::HasSubstr;
using Counts = std::vector<std::uint64_t>;

// Shards of square, wide and tall records, unevenly mixed; the wide ones are fewer than a batch, the last
// shard has no tall ones.
class BucketLoaderTest : public testing::Test {
 protected:
  void SetUp() override {
    const std::vector<std::vector<std::pair<Grid, std::uint64_t>>> content{
        {{test::kSquare, 20}, {test::kTall, 9}, {test::kWide, 2}},
        {{test::kTall, 14}, {test::kSquare, 3}},
        {{test::kWide, 4}, {test::kSquare, 10}},
    };
    std::uint64_t number = 0;
    for (std::size_t s = 0; s < content.size(); ++s) {
      ShardWriter writer(folder_ / ("s" + std::to_string(s) + ".h5"), header_);
      for (const auto& [shape, count] : content[s]) {
        for (std::uint64_t i = 0; i < count; ++i, ++number) {
          const Record record = sample_record(header_, number, shape);
          writer.add(record);
          records_.emplace(record.id, record);
        }
      }
      writer.finish();
    }
    dataset_ = std::make_shared<const Dataset>(std::vector<std::string>{folder_.path()});
    config_.resolution = 16;
    config_.buckets = true;
    config_.global_batch = 8;
    config_.seed = 3;
    config_.caption_drop = 0.3;
    config_.window_shards = 2;
    config_.downsampling = 4;
  }
  Samples collected(LoaderConfig config, std::uint64_t steps) {
    Samples samples;
    collect(dataset_, config, steps, samples);
    return samples;
  }
  const Record& record_of(const Draw& draw) const {
    return records_.at(std::string(dataset_->reader(draw.shard)->info(draw.record).id));
  }
  TemporaryFolder folder_;
  ShardHeader header_ = sample_header();
  std::map<std::string, Record> records_;
  std::shared_ptr<const Dataset> dataset_;
  LoaderConfig config_;
};

TEST_F(BucketLoaderTest, BatchesHoldOneBucketAndWhatItsRecordsHold) {
  Loader loader(dataset_, config_);
  std::set<std::uint32_t> seen;
  for (int step = 0; step < 30; ++step) {
    const HostBatch& batch = loader.next();
    seen.insert(batch.bucket);
    const DatasetBucket& bucket = dataset_->buckets()[batch.bucket];
    EXPECT_EQ(batch.grid, bucket.grids[1]);
    EXPECT_EQ(batch.ratio, bucket.ratio);
    EXPECT_EQ(batch.picture_height, bucket.grids[1].height * 4);
    EXPECT_EQ(batch.picture_width, bucket.grids[1].width * 4);
    const std::size_t values = header_.latent_values(batch.grid);
    ASSERT_EQ(batch.latents.size(), batch.samples * values);
    for (std::size_t i = 0; i < batch.samples; ++i) {
      const Record& record = record_of(batch.draws[i]);
      ASSERT_EQ(record.latents[1].grid, batch.grid);
      EXPECT_TRUE(std::equal(record.latents[1].values.begin(), record.latents[1].values.end(),
                             batch.latents.begin() + static_cast<std::ptrdiff_t>(i * values)));
      EXPECT_EQ(batch.height[i], record.height);
      EXPECT_EQ(batch.width[i], record.width);
    }
  }
  EXPECT_EQ(seen.size(), 3U);
}

TEST_F(BucketLoaderTest, EveryEpochDrawsEachRecordKOrOneFewerTimes) {
  Counts sizes;
  for (const DatasetBucket& bucket : dataset_->buckets()) sizes.push_back(bucket.records);
  ASSERT_EQ(sizes, (Counts{6, 33, 23}));
  const BatchPlan plan(sizes, config_.seed, config_.global_batch);
  for (std::uint64_t ranks = 1; ranks <= 4; ++ranks) {
    std::vector<std::unique_ptr<Loader>> loaders;
    for (std::uint64_t rank = 0; rank < ranks; ++rank) {
      LoaderConfig config = config_;
      config.rank = rank;
      config.ranks = ranks;
      config.micro_batch = rank % 2 == 0 ? 0 : 1;
      loaders.push_back(std::make_unique<Loader>(dataset_, config));
    }
    std::map<std::string, std::uint64_t> drawn;
    std::uint64_t step = 0;
    for (std::uint64_t epoch = 1; epoch <= 7; ++epoch) {
      for (; step < plan.steps_of_epochs(epoch); ++step) {
        std::set<std::uint32_t> buckets;
        std::size_t samples = 0;
        for (const auto& loader : loaders) {
          for (std::uint32_t micro = 0; micro < loader->micro_batches(); ++micro) {
            const HostBatch& batch = loader->next();
            ASSERT_EQ(batch.step, step);
            buckets.insert(batch.bucket);
            samples += batch.samples;
            for (const Draw& draw : batch.draws) ++drawn[record_of(draw).id];
          }
        }
        ASSERT_EQ(buckets.size(), 1U);
        ASSERT_EQ(samples, config_.global_batch);
      }
      for (const auto& [id, record] : records_) {
        // the wide records are 6, fewer than a batch of 8 less one: they may be two behind
        const std::uint64_t late = record.latents[0].grid == dataset_->buckets()[0].grids[0] ? 2 : 1;
        EXPECT_LE(drawn[id], epoch) << id;
        EXPECT_GE(drawn[id] + late, epoch) << id;
      }
    }
  }
}

TEST_F(BucketLoaderTest, RanksMicroBatchesAndThreadsChangeNothing) {
  const Samples expected = collected(config_, 12);
  for (const std::uint64_t ranks : {1, 2, 3, 4}) {
    for (const std::uint64_t micro : {0, 1, 3}) {
      Samples samples;
      for (std::uint64_t rank = 0; rank < ranks; ++rank) {
        LoaderConfig config = config_;
        config.rank = rank;
        config.ranks = ranks;
        config.micro_batch = micro;
        config.threads = 1 + static_cast<std::uint32_t>(rank);
        collect(dataset_, config, 12, samples);
      }
      EXPECT_EQ(samples, expected) << ranks << " ranks, micro-batch " << micro;
    }
  }
}

TEST_F(BucketLoaderTest, ResumesAnywhereFromTheDrawCounter) {
  constexpr std::uint64_t kSteps = 40;
  const Samples all = collected(config_, kSteps);
  for (const std::uint64_t first : {1U, 7U, 8U, 15U, 22U, 31U, 39U}) {
    LoaderConfig config = config_;
    config.first_step = first;
    config.first_draw = first * config_.global_batch;
    config.ranks = 1;
    Samples expected = all;
    std::erase_if(expected, [&](const auto& entry) { return entry.first.first < first; });
    EXPECT_EQ(collected(config, kSteps - first), expected) << first;
  }
}

TEST_F(BucketLoaderTest, StagesOfOtherBatchesLeaveNoGap) {
  // Nine steps of 8, then steps of 5: together they draw each bucket's sequence as a whole.
  std::map<std::uint32_t, std::vector<Draw>> drawn;
  const auto draw = [&](const LoaderConfig& config, int steps) {
    Loader loader(dataset_, config);
    for (int i = 0; i < steps; ++i) {
      const HostBatch& batch = loader.next();
      auto& list = drawn[batch.bucket];
      list.insert(list.end(), batch.draws.begin(), batch.draws.end());
    }
  };
  draw(config_, 9);
  LoaderConfig second = config_;
  second.global_batch = 5;
  second.earlier = {{8, 9}};
  second.first_draw = 72;
  draw(second, 11);
  second.first_step = 11;  // stopped and resumed
  second.first_draw = 72 + 55;
  draw(second, 20);
  for (const auto& [k, list] : drawn) {
    const DatasetBucket& bucket = dataset_->buckets()[k];
    DataOrder order(bucket.shard_records, config_.seed, config_.window_shards, k);
    for (std::size_t i = 0; i < list.size(); ++i) {
      Draw expected = order.at(i);
      expected.record += bucket.shard_first[expected.shard];
      EXPECT_EQ(list[i], expected);
    }
  }
  second.first_draw = 70;
  try {
    const Loader loader(dataset_, second);
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), AllOf(HasSubstr("72"), HasSubstr("70"), HasSubstr("Remedy:")));
  }
}

TEST_F(BucketLoaderTest, WhatIsNotToldCountsAsBatchesOfThisSize) {
  config_.global_batch = 5;
  Samples whole = collected(config_, 20);
  config_.first_step = 14;
  config_.first_draw = 72;  // 14 batches of 5, and 2 samples
  const Samples resumed = collected(config_, 6);
  std::erase_if(whole, [](const auto& entry) { return entry.first.first < 14; });
  EXPECT_EQ(resumed, whole);
}

TEST_F(BucketLoaderTest, MixedRecordsNeedBuckets) {
  config_.buckets = false;
  try {
    const Loader loader(dataset_, config_);
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), AllOf(HasSubstr("aspect ratio"), HasSubstr("buckets")));
  }
}

}  // namespace
}  // namespace tessera::data
