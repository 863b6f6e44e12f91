// A damaged record's place is taken by another one, the same for every number of ranks, threads and resumes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "unit/data/loaded_samples.hpp"

namespace tessera::data {
namespace {

using test::collect;
using test::sample_header;
using test::sample_shard;
using test::Samples;
using test::TemporaryFolder;
using testing::HasSubstr;

class DamagedTest : public testing::Test {
 protected:
  void SetUp() override {
    sample_shard(folder_, "a.h5", 0, 20, header_);
    sample_shard(folder_, "b.h5", 20, 9, header_);
    dataset_ = std::make_shared<const Dataset>(std::vector<std::string>{folder_.path()});
    sound_ = collected(config_, steps);
    for (const std::uint64_t record : {3U, 11U}) flip(record);
    config_.replace_damaged = true;
  }
  /// A bit of the latent of a record of the first shard.
  void flip(std::uint64_t record) {
    const ShardInfo info = inspect_shard(folder_ / "a.h5");
    const std::uint64_t bytes = info.header.latent_values(info.layout.buckets[0].grids[1]) * 2;
    const io::File file = io::File::open_update(folder_ / "a.h5");
    const std::uint64_t at = info.layout.buckets[0].latents[1].offset + record * bytes;
    char byte = 0;
    file.read_at(&byte, 1, at);
    byte = static_cast<char>(byte ^ 1);
    file.write_at(&byte, 1, at);
  }
  [[nodiscard]] Samples collected(const LoaderConfig& config, std::uint64_t count) const {
    Samples samples;
    collect(dataset_, config, count, samples);
    return samples;
  }
  static bool is_damaged(const Draw& draw) {
    return draw.shard == 0 && (draw.record == 3 || draw.record == 11);
  }
  static constexpr std::uint64_t steps = 12;
  TemporaryFolder folder_;
  ShardHeader header_ = sample_header();
  std::shared_ptr<const Dataset> dataset_;
  LoaderConfig config_{.resolution = 16, .global_batch = 10, .seed = 3, .window_shards = 2};
  Samples sound_;
};

TEST_F(DamagedTest, OnlyTheDamagedOnesAreReplaced) {
  const Samples samples = collected(config_, steps);
  ASSERT_EQ(samples.size(), sound_.size());
  std::set<std::uint64_t> others;
  int replaced = 0;
  for (const auto& [at, sample] : samples) {
    EXPECT_FALSE(is_damaged(sample.draw));
    const test::Sample& before = sound_.at(at);
    if (!is_damaged(before.draw)) {
      EXPECT_EQ(sample, before);
      continue;
    }
    ++replaced;
    others.insert(sample.draw.shard * 100 + sample.draw.record);
    const std::uint64_t number = sample.draw.shard * 20 + sample.draw.record;
    EXPECT_EQ(sample.latent, test::sample_record(header_, number).latents[1].values);
    EXPECT_EQ(sample.draw.epoch, before.draw.epoch);
    EXPECT_EQ(sample.drop, before.drop);
  }
  EXPECT_GE(replaced, 8);        // four epochs
  EXPECT_GT(others.size(), 4U);  // not always the same one
}

TEST_F(DamagedTest, TheSameForEveryNumberOfRanksAndThreads) {
  const Samples expected = collected(config_, steps);
  for (const std::uint64_t ranks : {2, 3, 7}) {
    Samples samples;
    for (std::uint64_t rank = 0; rank < ranks; ++rank) {
      LoaderConfig config = config_;
      config.rank = rank;
      config.ranks = ranks;
      config.micro_batch = 2;
      config.threads = 3;
      collect(dataset_, config, steps, samples);
    }
    EXPECT_EQ(samples, expected) << ranks;
  }
  LoaderConfig config = config_;
  config.first_step = 7;
  config.first_draw = 70;
  for (const auto& [at, sample] : collected(config, steps - 7)) EXPECT_EQ(sample, expected.at(at));
}

TEST_F(DamagedTest, EveryReplacementIsTold) {
  Loader loader(dataset_, config_);
  std::size_t told = 0, replaced = 0;
  for (std::uint64_t step = 0; step < steps; ++step) {
    const HostBatch& batch = loader.next();
    for (const std::string& damage : batch.damages) {
      EXPECT_THAT(damage, HasSubstr("a.h5, record "));
      EXPECT_THAT(damage, HasSubstr("does not match its checksum"));
    }
    told += batch.damages.size();
    for (std::size_t i = 0; i < batch.samples; ++i) {
      if (is_damaged(sound_.at({step, i}).draw)) ++replaced;
    }
  }
  EXPECT_EQ(told, replaced);
}

TEST_F(DamagedTest, ATruncatedShardIsReplacedByTheOthers) {
  std::filesystem::resize_file(folder_ / "a.h5", 100);
  for (const auto& [at, sample] : collected(config_, steps)) {
    EXPECT_EQ(sample.draw.shard, 1U);
    if (sound_.at(at).draw.shard == 1) {
      EXPECT_EQ(sample, sound_.at(at));
    }
  }
}

TEST_F(DamagedTest, WhereAllIsDamagedTheLastReasonIsTold) {
  std::filesystem::resize_file(folder_ / "a.h5", 100);
  std::filesystem::resize_file(folder_ / "b.h5", 100);
  Loader loader(dataset_, config_);
  try {
    (void)loader.next();
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("and now 100"));
  }
}

}  // namespace
}  // namespace tessera::data
