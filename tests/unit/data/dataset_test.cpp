// Data sets: shards must be there, agree with each other and with the run; each refusal says both values.
#include "data/dataset.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "data/show.hpp"
#include "unit/data/sample_shards.hpp"

namespace tessera::data {
namespace {

using test::sample_header;
using test::sample_record;
using test::sample_shard;
using test::TemporaryFolder;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

std::string refusal(const std::vector<std::string>& paths, const DatasetExpectation& expected = {}) {
  try {
    const Dataset dataset(paths, expected);
  } catch (const Error& error) {
    EXPECT_FALSE(error.remedy().empty()) << error.what();
    EXPECT_FALSE(error.where().empty()) << error.what();
    return error.what();
  }
  return "no error was thrown";
}

TEST(Dataset, OpensFoldersAndFiles) {
  const TemporaryFolder folder;
  const std::string b = sample_shard(folder, "b.h5", 10, 7);
  const std::string a = sample_shard(folder, "a.h5", 0, 10);
  io::replace_file(folder / "notes.txt", "not a shard");
  const Dataset dataset({folder.path()}, {}, 1);
  EXPECT_EQ(dataset.records(), 17U);
  EXPECT_THAT(dataset.shard_records(), ElementsAre(10, 7));
  EXPECT_EQ(dataset.layout(0).path, a);
  EXPECT_EQ(dataset.resolution_index(16), 1U);
  EXPECT_EQ(dataset.common_grid(1), (Grid{4, 4}));
  // one shard may be open at a time, yet a held one stays readable
  const auto first = dataset.reader(0);
  const auto second = dataset.reader(1);
  EXPECT_EQ(first->info(9).id, "picture-9");
  EXPECT_EQ(second->info(6).id, "picture-16");
  EXPECT_NE(dataset.reader(0), first);
  EXPECT_THAT(Dataset({b, a}).shard_records(), ElementsAre(7, 10));
}

TEST(Dataset, MatchingExpectationsPass) {
  const TemporaryFolder folder;
  sample_shard(folder, "a.h5", 0, 3);
  DatasetExpectation expected;
  expected.codec = "pixel";
  expected.codec_config = sample_header().codec_config;
  expected.text_encoder = "word-hash";
  expected.channels = 3;
  expected.resolution = 8;
  expected.caption_length = 5;
  expected.caption_width = 4;
  expected.needs_all_positions = true;
  EXPECT_EQ(refusal({folder.path()}, expected), "no error was thrown");
}

TEST(Dataset, WrongExpectationsNameBothValues) {
  const TemporaryFolder folder;
  const std::string path = sample_shard(folder, "a.h5", 0, 3);
  const auto with = [&](auto&& change) {
    DatasetExpectation expected;
    change(expected);
    const std::string message = refusal({folder.path()}, expected);
    EXPECT_THAT(message, HasSubstr(path));
    return message;
  };
  EXPECT_THAT(with([](auto& e) { e.codec = "autoencoder-kl"; }),
              AllOf(HasSubstr("'pixel'"), HasSubstr("'autoencoder-kl'")));
  EXPECT_THAT(with([](auto& e) { e.text_encoder = "t5"; }),
              AllOf(HasSubstr("'word-hash'"), HasSubstr("'t5'")));
  EXPECT_THAT(with([](auto& e) { e.text_encoder_config = "{}"; }), HasSubstr("seed"));
  EXPECT_THAT(with([](auto& e) { e.channels = 4; }), AllOf(HasSubstr("is 3"), HasSubstr("has 4")));
  EXPECT_THAT(with([](auto& e) { e.caption_width = 1024; }),
              AllOf(HasSubstr("width"), HasSubstr("is 4"), HasSubstr("1024")));
  EXPECT_THAT(with([](auto& e) { e.caption_length = 77; }),
              AllOf(HasSubstr("length"), HasSubstr("is 5"), HasSubstr("77")));
  EXPECT_THAT(with([](auto& e) { e.resolution = 32; }), AllOf(HasSubstr("32"), HasSubstr("8, 16")));
}

TEST(Dataset, PaddingMustBeThereForModelsThatReadIt) {
  const TemporaryFolder folder;
  ShardHeader header = sample_header();
  header.caption_store = CaptionStore::real;
  sample_shard(folder, "a.h5", 0, 3, header);
  EXPECT_EQ(refusal({folder.path()}), "no error was thrown");
  DatasetExpectation expected;
  expected.needs_all_positions = true;
  EXPECT_THAT(refusal({folder.path()}, expected), HasSubstr("padding"));
}

TEST(Dataset, ControlMapsMustBeThoseThatTheRunExpects) {
  const TemporaryFolder folder;
  DatasetExpectation expected;
  expected.control = "edges";
  sample_shard(folder, "a.h5", 0, 3);
  EXPECT_THAT(refusal({folder.path()}, expected), HasSubstr("--control NAME"));
  ShardHeader header = sample_header();
  header.control = "depth";
  const TemporaryFolder other;
  sample_shard(other, "a.h5", 0, 3, header);
  EXPECT_THAT(refusal({other.path()}, expected), AllOf(HasSubstr("'depth'"), HasSubstr("'edges'")));
  EXPECT_EQ(refusal({other.path()}), "no error was thrown");
}

TEST(Dataset, ShardsMustAgree) {
  const auto disagreement = [](auto&& change) {
    const TemporaryFolder folder;
    const std::string a = sample_shard(folder, "a.h5", 0, 3);
    ShardHeader header = sample_header();
    change(header);
    const std::string b = sample_shard(folder, "b.h5", 0, 3, header);
    const std::string message = refusal({folder.path()});
    EXPECT_THAT(message, AllOf(HasSubstr(a), HasSubstr(b)));
    return message;
  };
  EXPECT_THAT(disagreement([](auto& h) { h.codec = "other"; }), HasSubstr("codec"));
  EXPECT_THAT(disagreement([](auto& h) { h.codec_config = "{}"; }), HasSubstr("codec configuration"));
  EXPECT_THAT(disagreement([](auto& h) { h.text_encoder = "other"; }), HasSubstr("text encoder"));
  EXPECT_THAT(disagreement([](auto& h) { h.channels = 4; }), HasSubstr("channels"));
  EXPECT_THAT(disagreement([](auto& h) { h.control = "edges"; }), HasSubstr("control maps"));
  EXPECT_THAT(disagreement([](auto& h) { h.latent = LatentKind::posterior; }), HasSubstr("latent kind"));
  EXPECT_THAT(disagreement([](auto& h) { h.latent_type = io::StoredType::f32; }), HasSubstr("latent type"));
  EXPECT_THAT(disagreement([](auto& h) { h.resolutions = {8}; }), HasSubstr("resolutions"));
  EXPECT_THAT(disagreement([](auto& h) { h.caption_width = 8; }), HasSubstr("caption width"));
  EXPECT_THAT(disagreement([](auto& h) { h.caption_length = 6; }), HasSubstr("caption length"));
  EXPECT_THAT(disagreement([](auto& h) { h.groups.push_back("more"); }), HasSubstr("groups"));
}

TEST(Dataset, MissingAndEmptyAreTold) {
  const TemporaryFolder folder;
  EXPECT_THAT(refusal({}), HasSubstr("empty"));
  EXPECT_THAT(refusal({folder.path()}), AllOf(HasSubstr(folder.path()), HasSubstr("empty")));
  EXPECT_THAT(refusal({folder / "none.h5"}), AllOf(HasSubstr("none.h5"), HasSubstr("No such file")));
  sample_shard(folder, shard_name(0, 3), 0, 2);
  sample_shard(folder, shard_name(2, 3), 0, 2);
  EXPECT_THAT(refusal({folder.path()}),
              AllOf(HasSubstr("'shard-00001-of-00003.h5' is missing"), HasSubstr("2 of 3")));
  sample_shard(folder, shard_name(1, 3), 0, 2);
  EXPECT_EQ(refusal({folder.path()}), "no error was thrown");
}

TEST(Dataset, MixedAspectRatiosAreTold) {
  const TemporaryFolder folder;
  ShardWriter writer(folder / "s.h5", sample_header());
  writer.add(sample_record(sample_header(), 0));
  writer.add(sample_record(sample_header(), 1, test::kWide));
  writer.finish();
  const Dataset dataset({folder.path()});
  EXPECT_THROW((void)dataset.common_grid(0), Error);
}

TEST(Dataset, BucketsSpanShards) {
  const TemporaryFolder folder;
  const auto shard = [&](const char* name, const std::vector<std::pair<Grid, int>>& content) {
    ShardWriter writer(folder / name, sample_header());
    std::uint64_t number = 0;
    for (const auto& [shape, count] : content) {
      for (int i = 0; i < count; ++i) writer.add(sample_record(sample_header(), number++, shape));
    }
    writer.finish();
  };
  shard("a.h5", {{test::kTall, 2}, {test::kSquare, 3}});
  shard("b.h5", {{test::kWide, 4}});
  shard("c.h5", {{test::kWide, 1}, {test::kTall, 5}, {test::kSquare, 2}});
  const Dataset dataset({folder.path()});
  ASSERT_EQ(dataset.buckets().size(), 3U);  // ascending by height / width
  const DatasetBucket &wide = dataset.buckets()[0], &square = dataset.buckets()[1],
                      &tall = dataset.buckets()[2];
  EXPECT_EQ(wide.ratio, 0.5);
  EXPECT_EQ(square.ratio, 1);
  EXPECT_EQ(tall.ratio, 3);
  EXPECT_THAT(wide.grids, ElementsAre(Grid{2, 4}, Grid{4, 8}));
  EXPECT_THAT(tall.grids, ElementsAre(Grid{6, 2}, Grid{12, 4}));
  EXPECT_EQ(wide.records, 5U);
  EXPECT_EQ(square.records, 5U);
  EXPECT_EQ(tall.records, 7U);
  EXPECT_THAT(wide.shard_records, ElementsAre(0, 4, 1));
  EXPECT_THAT(square.shard_records, ElementsAre(3, 0, 2));
  EXPECT_THAT(tall.shard_records, ElementsAre(2, 0, 5));
  EXPECT_THAT(describe_buckets(dataset),
              AllOf(HasSubstr("17 records in 3 shards"),
                    HasSubstr("5 records, 29 %, height / width 0.5; 8 px: 2x4 16 px: 4x8"),
                    HasSubstr("7 records, 41 %, height / width 3; 8 px: 6x2 16 px: 12x4")));
  for (const DatasetBucket& bucket : dataset.buckets()) {
    for (std::size_t s = 0; s < dataset.shards(); ++s) {
      for (std::uint64_t i = 0; i < bucket.shard_records[s]; ++i) {
        const RecordInfo info = dataset.reader(s)->info(bucket.shard_first[s] + i);
        EXPECT_EQ(dataset.layout(s).buckets[info.bucket].grids, bucket.grids);
      }
    }
  }
}

TEST(Dataset, AspectRatiosMustAgreeInTheirSizes) {
  const TemporaryFolder folder;
  ShardHeader header = sample_header();
  const std::string a = sample_shard(folder, "a.h5", 0, 3, header);
  Record record = sample_record(header, 5);
  record.latents[0].grid = {3, 3};  // square too, at the first resolution only
  record.latents[0].values.resize(27);
  ShardWriter writer(folder / "b.h5", header);
  writer.add(record);
  writer.finish();
  EXPECT_THAT(refusal({folder.path()}),
              AllOf(HasSubstr(a), HasSubstr(folder / "b.h5"), HasSubstr("3x3"), HasSubstr("2x2"),
                    HasSubstr("resolution 8"), HasSubstr("unit")));
}

TEST(DatasetWriter, CutsShardsBySizeAndNamesThem) {
  const TemporaryFolder folder;
  const ShardHeader header = sample_header();
  io::replace_file(folder / "shard-0.partial", "left by a build that was stopped");
  {
    DatasetWriter writer(folder.path(), header, 1000);
    for (std::uint64_t i = 0; i < 20; ++i) writer.add(sample_record(header, i));
    EXPECT_THROW(Dataset({folder.path()}), Error);  // nothing there yet under a final name
    const std::vector<std::string> paths = writer.finish();
    ASSERT_GT(paths.size(), 2U);
    EXPECT_EQ(paths.front(), folder / shard_name(0, paths.size()));
  }
  const Dataset dataset({folder.path()});
  EXPECT_EQ(dataset.records(), 20U);
  std::uint64_t number = 0;
  for (std::size_t s = 0; s < dataset.shards(); ++s) {
    for (std::uint64_t i = 0; i < dataset.layout(s).records; ++i) {
      EXPECT_EQ(dataset.reader(s)->info(i).id, "picture-" + std::to_string(number++));
    }
  }
  EXPECT_THROW(DatasetWriter(folder.path(), header), Error);
}

TEST(DatasetWriter, LeavesNothingWithoutFinish) {
  const TemporaryFolder folder;
  {
    DatasetWriter writer(folder.path(), sample_header(), 100);
    for (std::uint64_t i = 0; i < 5; ++i) writer.add(sample_record(sample_header(), i));
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
  DatasetWriter empty(folder.path(), sample_header());
  EXPECT_THROW(empty.finish(), Error);
}

}  // namespace
}  // namespace tessera::data
