// The loader against direct reads: same records, captions and flags, for every number of ranks and threads.
#include "data/loader.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <map>
#include <set>

#include "data/half.hpp"
#include "unit/data/loaded_samples.hpp"

namespace tessera::data {
namespace {

using test::collect;
using test::sample_header;
using test::sample_record;
using test::sample_shard;
using test::Samples;
using test::TemporaryFolder;
using testing::AllOf;
using testing::HasSubstr;

class LoaderTest : public testing::Test {
 protected:
  void SetUp() override {
    sample_shard(folder_, "a.h5", 0, 20, header_);
    sample_shard(folder_, "b.h5", 20, 20, header_);
    sample_shard(folder_, "c.h5", 40, 7, header_);  // uneven
    dataset_ = std::make_shared<const Dataset>(std::vector<std::string>{folder_.path()});
    config_.resolution = 16;
    config_.global_batch = 10;
    config_.seed = 3;
    config_.caption_drop = 0.3;
    config_.window_shards = 2;
  }
  Samples collected(LoaderConfig config, std::uint64_t steps) {
    Samples samples;
    collect(dataset_, config, steps, samples);
    return samples;
  }
  TemporaryFolder folder_;
  ShardHeader header_ = sample_header();
  std::shared_ptr<const Dataset> dataset_;
  LoaderConfig config_;
};

TEST_F(LoaderTest, ReturnsWhatTheShardsHold) {
  const Samples samples = collected(config_, 14);  // just short of three epochs
  ASSERT_EQ(samples.size(), 140U);
  DataOrder order(dataset_->shard_records(), config_.seed, config_.window_shards);
  const std::uint64_t first[] = {0, 20, 40};
  std::set<std::size_t> variants;
  std::size_t dropped = 0;
  for (const auto& [at, sample] : samples) {
    EXPECT_EQ(sample.draw, order.at(at.first * 10 + at.second));
    const std::uint64_t number = first[sample.draw.shard] + sample.draw.record;
    const Record record = sample_record(header_, number);
    EXPECT_EQ(sample.latent, record.latents[1].values);
    EXPECT_EQ(sample.group, record.group);
    EXPECT_EQ(sample.subgroup, record.subgroup);
    EXPECT_EQ(sample.width, record.width);
    EXPECT_EQ(sample.height, record.height);
    bool known = false;
    for (std::size_t c = 0; c < record.captions.size(); ++c) {
      if (sample.caption != record.captions[c].features) continue;
      known = true;
      if (record.captions.size() == 2) variants.insert(c);
      EXPECT_EQ(static_cast<std::uint32_t>(sample.len_real), record.captions[c].len_real);
    }
    EXPECT_TRUE(known);
    dropped += sample.drop;
  }
  EXPECT_EQ(variants.size(), 2U);  // both variants of a caption are used
  EXPECT_NEAR(static_cast<double>(dropped), 42, 3 * std::sqrt(140 * 0.3 * 0.7));
}

TEST_F(LoaderTest, RanksAndMicroBatchesShareOutTheSameBatch) {
  const Samples expected = collected(config_, 6);
  for (const std::uint64_t ranks : {2, 3, 4, 7, 10}) {
    for (const std::uint64_t micro : {0, 1, 2, 3}) {
      Samples samples;
      for (std::uint64_t rank = 0; rank < ranks; ++rank) {
        LoaderConfig config = config_;
        config.rank = rank;
        config.ranks = ranks;
        config.micro_batch = micro;
        collect(dataset_, config, 6, samples);
      }
      EXPECT_EQ(samples, expected) << ranks << " ranks, micro-batch " << micro;
    }
  }
}

TEST_F(LoaderTest, ThreadsAndPrefetchChangeNothing) {
  const Samples expected = collected(config_, 10);
  for (const std::uint32_t threads : {2U, 4U}) {
    for (const std::uint32_t prefetch : {1U, 2U, 9U}) {
      LoaderConfig config = config_;
      config.threads = threads;
      config.prefetch = prefetch;
      config.micro_batch = 3;
      EXPECT_EQ(collected(config, 10), expected);
    }
  }
}

TEST_F(LoaderTest, ResumesFromTheDrawCounter) {
  Samples expected = collected(config_, 12);
  LoaderConfig config = config_;
  config.first_step = 7;
  config.first_draw = 70;
  const Samples resumed = collected(config, 5);
  std::erase_if(expected, [](const auto& entry) { return entry.first.first < 7; });
  EXPECT_EQ(resumed, expected);
}

TEST_F(LoaderTest, AnotherBatchGoesOnAtTheNextDraw) {
  config_.first_draw = 73;  // after a stage of another batch
  DataOrder order(dataset_->shard_records(), config_.seed, config_.window_shards);
  for (const auto& [at, sample] : collected(config_, 5)) {
    EXPECT_EQ(sample.draw, order.at(73 + at.first * 10 + at.second));
  }
}

TEST_F(LoaderTest, HalfCaptionsAreTheStoredBits) {
  config_.half_captions = true;
  Loader halves(dataset_, config_);
  config_.half_captions = false;
  Loader floats(dataset_, config_);
  for (int i = 0; i < 5; ++i) {
    const HostBatch& a = halves.next();
    const HostBatch& b = floats.next();
    EXPECT_TRUE(a.captions.empty());
    EXPECT_TRUE(b.half_captions.empty());
    std::vector<float> converted(a.half_captions.size());
    float_from_half(a.half_captions.data(), converted.data(), converted.size());
    EXPECT_EQ(converted, b.captions);
    EXPECT_EQ(a.len_real, b.len_real);
  }
}

TEST_F(LoaderTest, ErrorsSurfaceAtTheirBatch) {
  const ShardInfo info = inspect_shard(folder_ / "b.h5");
  const std::uint64_t bytes = info.header.latent_values(info.layout.buckets[0].grids[1]) * 2;
  const std::uint16_t nan = 0x7e00;
  io::File::open_update(folder_ / "b.h5")
      .write_at(&nan, 2, info.layout.buckets[0].latents[1].offset + 13 * bytes);
  DataOrder order(dataset_->shard_records(), config_.seed, config_.window_shards);
  std::uint64_t bad = 0;
  while (order.at(bad).shard != 1 || order.at(bad).record != 13) ++bad;
  for (const std::uint32_t threads : {1U, 3U}) {
    config_.threads = threads;
    Loader loader(dataset_, config_);
    for (std::uint64_t step = 0; step < bad / 10; ++step) EXPECT_NO_THROW((void)loader.next());
    for (int again = 0; again < 2; ++again) {
      try {
        (void)loader.next();
        FAIL() << "the damaged record was not noticed";
      } catch (const Error& error) {
        EXPECT_THAT(error.what(), AllOf(HasSubstr(folder_ / "b.h5"), HasSubstr("record 13 ('picture-33')"),
                                        HasSubstr("NaN"), HasSubstr("Remedy:")));
      }
    }
  }
}

TEST_F(LoaderTest, StopsWhileBuffersAreFull) {
  for (int i = 0; i < 20; ++i) {
    LoaderConfig config = config_;
    config.threads = 3;
    Loader loader(dataset_, config);
    if (i % 2 == 0) (void)loader.next();
  }
}

TEST_F(LoaderTest, RefusesImpossibleBatches) {
  LoaderConfig config = config_;
  config.ranks = 11;
  try {
    const Loader loader(dataset_, config);
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), AllOf(HasSubstr("10"), HasSubstr("11"), HasSubstr("fewer ranks")));
  }
  config = config_;
  config.resolution = 64;
  EXPECT_THROW(Loader(dataset_, config), Error);
  config = config_;
  config.global_batch = 0;
  EXPECT_THROW(Loader(dataset_, config), Error);
}

TEST_F(LoaderTest, OneBucketIsTheDataSetAsItWas) {
  const Samples expected = collected(config_, 14);
  config_.buckets = true;
  EXPECT_EQ(collected(config_, 14), expected);
}

TEST(LoaderPosterior, DrawsFromTheRecordedDistribution) {
  // One record drawn many times: the draws have its mean and standard deviation, and differ by position.
  const TemporaryFolder folder;
  ShardHeader header = sample_header();
  header.latent = LatentKind::posterior;
  header.latent_type = io::StoredType::f32;
  Record record = sample_record(header, 1);
  for (Record::Latent& latent : record.latents) {
    const std::size_t half = latent.values.size() / 2;
    for (std::size_t i = 0; i < half; ++i) latent.values[half + i] = 0.5F;
  }
  ShardWriter writer(folder / "s.h5", header);
  writer.add(record);
  writer.finish();
  const auto dataset = std::make_shared<const Dataset>(std::vector<std::string>{folder.path()});
  LoaderConfig config;
  config.resolution = 8;
  config.global_batch = 100;
  Loader loader(dataset, config);
  double sum = 0, squares = 0;
  std::set<float> firsts;
  std::size_t count = 0;
  for (int step = 0; step < 20; ++step) {
    const HostBatch& batch = loader.next();
    for (std::size_t i = 0; i < batch.latents.size(); ++i) {
      const double noise = (batch.latents[i] - record.latents[0].values[i % 12]) / 0.5;
      sum += noise;
      squares += noise * noise;
      ++count;
      if (i % 12 == 0) firsts.insert(batch.latents[i]);
    }
  }
  EXPECT_EQ(count, 24'000U);
  EXPECT_NEAR(sum / static_cast<double>(count), 0, 4 / std::sqrt(24'000.0));
  EXPECT_NEAR(squares / static_cast<double>(count), 1, 4 * std::sqrt(2 / 24'000.0));
  EXPECT_GT(firsts.size(), 1990U);
}

class LoaderControls : public testing::TestWithParam<LatentKind> {};

TEST_P(LoaderControls, ComeWithTheirPictures) {
  const TemporaryFolder folder;
  ShardHeader header = sample_header();
  header.control = "edges";
  header.latent = GetParam();
  sample_shard(folder, "a.h5", 0, 9, header);
  const auto dataset = std::make_shared<const Dataset>(std::vector<std::string>{folder.path()});
  LoaderConfig config{.resolution = 16, .global_batch = 5, .seed = 3, .controls = true};
  Samples all;
  collect(dataset, config, 6, all);
  Samples shared;
  config.ranks = 3;
  config.micro_batch = 1;
  for (config.rank = 0; config.rank < 3; ++config.rank) collect(dataset, config, 6, shared);
  EXPECT_EQ(shared, all);
  config = {.resolution = 16, .global_batch = 5, .seed = 3};
  Samples without;
  collect(dataset, config, 6, without);
  for (const auto& [at, sample] : all) {
    const Record record = sample_record(header, sample.draw.record);
    const std::vector<float>& expected = record.controls[1].values;
    EXPECT_TRUE(without.at(at).control.empty());
    EXPECT_EQ(without.at(at).latent, sample.latent);
    ASSERT_FALSE(sample.control.empty());
    if (GetParam() == LatentKind::sample) {
      EXPECT_EQ(sample.control, expected);
      continue;
    }
    // Mean + deviation x normal: other normals than those of the picture's latent.
    const std::size_t count = sample.control.size();
    ASSERT_EQ(expected.size(), 2 * count);
    double product = 0;
    for (std::size_t i = 0; i < count; ++i) {
      const double map = (sample.control[i] - expected[i]) / expected[count + i];
      const double picture =
          (sample.latent[i] - record.latents[1].values[i]) / record.latents[1].values[count + i];
      if (std::isfinite(map * picture)) product += map * picture / static_cast<double>(count);
    }
    EXPECT_LT(std::abs(product), 0.7);
  }
}

INSTANTIATE_TEST_SUITE_P(All, LoaderControls, testing::Values(LatentKind::sample, LatentKind::posterior));

TEST(LoaderWithoutControls, SaysSo) {
  const TemporaryFolder folder;
  sample_shard(folder, "a.h5", 0, 9);
  const auto dataset = std::make_shared<const Dataset>(std::vector<std::string>{folder.path()});
  try {
    const Loader loader(dataset, {.resolution = 16, .global_batch = 5, .controls = true});
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("no control maps"));
  }
}

}  // namespace
}  // namespace tessera::data
