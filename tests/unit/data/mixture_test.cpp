// Mixed data: fixed numbers of samples of each part in every step, each part drawn as if it were alone.
#include "data/mixture.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "unit/data/loaded_samples.hpp"

namespace tessera::data {
namespace {

using test::collect;
using test::sample_header;
using test::sample_shard;
using test::Samples;
using test::TemporaryFolder;
using testing::ElementsAre;
using testing::HasSubstr;

std::vector<std::uint64_t> counts(std::uint64_t batch, const std::vector<double>& shares) {
  std::vector<MixturePart> parts;
  for (const double share : shares) parts.push_back({1, share, 1});
  return shared_out(batch, parts);
}

TEST(Mixture, SharesBecomeWholeNumbersOfSamples) {
  EXPECT_THAT(counts(8, {0.5, 0.5}), ElementsAre(4, 4));
  EXPECT_THAT(counts(7, {0.5, 0.5}), ElementsAre(4, 3));  // of equal remainders the first
  EXPECT_THAT(counts(10, {0.7, 0.2, 0.1}), ElementsAre(7, 2, 1));
  EXPECT_THAT(counts(10, {0.45, 0.28, 0.27}), ElementsAre(4, 3, 3));
  EXPECT_THAT(counts(3, {1.0 / 3, 1.0 / 3, 1.0 / 3}), ElementsAre(1, 1, 1));
  EXPECT_THAT(counts(100, {1 - 0.9, 0.9}), ElementsAre(10, 90));
  EXPECT_THAT(counts(5, {1.0}), ElementsAre(5));
  for (std::uint64_t batch = 3; batch < 200; ++batch) {
    const auto all = counts(batch, {0.41, 0.34, 0.25});
    EXPECT_EQ(all[0] + all[1] + all[2], batch);
    EXPECT_LT(std::abs(static_cast<double>(all[1]) - 0.34 * static_cast<double>(batch)), 1);
  }
  try {
    (void)counts(4, {0.99, 0.01});
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("none of part 1"));
  }
}

/// Shards a and b with records 0 to 26 are one part, c with 40 to 46 the other.
class MixtureTest : public testing::Test {
 protected:
  void SetUp() override {
    sample_shard(folder_, "a.h5", 0, 20);
    sample_shard(folder_, "b.h5", 20, 7);
    sample_shard(folder_, "c.h5", 40, 7);
    dataset_ = std::make_shared<const Dataset>(
        std::vector<std::string>{folder_ / "a.h5", folder_ / "b.h5", folder_ / "c.h5"});
    config_ = {.resolution = 16,
               .global_batch = 10,
               .seed = 3,
               .mixture = {{2, 0.7, 1}, {1, 0.3, 0.25}},
               .caption_drop = 0.3,
               .window_shards = 2};
  }
  Samples collected(const LoaderConfig& config, std::uint64_t steps) {
    Samples samples;
    collect(dataset_, config, steps, samples);
    return samples;
  }
  TemporaryFolder folder_;
  std::shared_ptr<const Dataset> dataset_;
  LoaderConfig config_;
};

TEST_F(MixtureTest, EachPartIsDrawnInItsOwnPermutations) {
  std::map<std::pair<std::uint32_t, std::uint64_t>, int> drawn;
  for (const auto& [at, sample] : collected(config_, 27)) {
    EXPECT_EQ(sample.draw.shard == 2, at.second >= 7) << at.second;
    ++drawn[{sample.draw.shard, sample.draw.record}];
  }
  ASSERT_EQ(drawn.size(), 34U);
  for (const auto& [record, times] : drawn) {
    if (record.first < 2) {
      EXPECT_EQ(times, 7);  // 27 steps x 7 samples of 27 records
    } else {
      EXPECT_TRUE(times == 11 || times == 12);  // 81 of 7
    }
  }
}

TEST_F(MixtureTest, WeightsComeWithTheSamples) {
  Loader loader(dataset_, config_);
  EXPECT_THAT(loader.next().weight, ElementsAre(1, 1, 1, 1, 1, 1, 1, 0.25, 0.25, 0.25));
  config_.mixture.clear();
  Loader plain(dataset_, config_);
  EXPECT_THAT(plain.next().weight, testing::Each(1.0));
}

TEST_F(MixtureTest, RanksAndMicroBatchesShareOutTheSameBatch) {
  const Samples all = collected(config_, 9);
  Samples shared;
  LoaderConfig one = config_;
  one.ranks = 4;
  one.micro_batch = 2;
  for (one.rank = 0; one.rank < 4; ++one.rank) collect(dataset_, one, 9, shared);
  EXPECT_EQ(shared, all);
}

TEST_F(MixtureTest, GoesOnFromAnyStepAndStage) {
  const Samples all = collected(config_, 9);
  LoaderConfig later = config_;
  later.first_step = 4;
  later.first_draw = 40;
  for (const auto& [at, sample] : collected(later, 5)) EXPECT_EQ(sample, all.at(at));

  // Another batch: each part goes on where it was.
  LoaderConfig next = config_;
  next.global_batch = 20;
  next.earlier = {{10, 9}};
  next.first_draw = 90;
  LoaderConfig whole = config_;
  whole.global_batch = 20;
  whole.first_draw = 0;
  std::vector<Draw> draws, expected;
  for (const auto& [at, sample] : collected(next, 3)) {
    if (at.second < 14) draws.push_back(sample.draw);
  }
  Samples longer = collected(config_, 16);
  for (const auto& [at, sample] : longer) {
    if (at.second < 7 && at.first >= 9) expected.push_back(sample.draw);
  }
  draws.resize(42);
  expected.resize(42);
  EXPECT_EQ(draws, expected);
}

TEST_F(MixtureTest, AspectBucketsAreRefused) {
  config_.buckets = true;
  try {
    const Loader loader(dataset_, config_);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("aspect buckets"));
  }
}

}  // namespace
}  // namespace tessera::data
