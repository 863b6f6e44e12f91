// The index of a folder against the shards themselves: the same data set, and never one that is no longer
// there.
#include "data/shard_index.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>

#include "base/log.hpp"
#include "data/dataset.hpp"
#include "data/layout_bytes.hpp"
#include "data/loader.hpp"
#include "unit/data/sample_shards.hpp"

namespace tessera::data {
namespace {

namespace fs = std::filesystem;
using test::sample_header;
using test::sample_record;
using test::sample_shard;
using test::TemporaryFolder;
using testing::HasSubstr;

constexpr std::size_t kShards = 64;  // as many as get an index

void expect_same(const ShardLayout& found, const ShardLayout& expected) {
  EXPECT_EQ(found.path, expected.path);
  EXPECT_EQ(found.file_bytes, expected.file_bytes);
  EXPECT_EQ(found.seal_crc, expected.seal_crc);
  EXPECT_EQ(found.records, expected.records);
  EXPECT_EQ(found.captions, expected.captions);
  EXPECT_EQ(found.tables_crc, expected.tables_crc);
  EXPECT_EQ(found.features, expected.features);
  EXPECT_EQ(found.tables, expected.tables);
  ASSERT_EQ(found.buckets.size(), expected.buckets.size());
  for (std::size_t k = 0; k < found.buckets.size(); ++k) {
    EXPECT_EQ(found.buckets[k].records, expected.buckets[k].records);
    EXPECT_EQ(found.buckets[k].grids, expected.buckets[k].grids);
    EXPECT_EQ(found.buckets[k].latents, expected.buckets[k].latents);
    EXPECT_EQ(found.buckets[k].controls, expected.buckets[k].controls);
  }
}

/// A shard of every kind of content.
ShardInfo rich_shard(const TemporaryFolder& folder, const std::string& name) {
  ShardHeader header = sample_header();
  header.latent = LatentKind::posterior;
  header.control = "edges";
  header.caption_store = CaptionStore::real;
  ShardWriter writer(folder / name, header);
  for (std::uint64_t i = 0; i < 5; ++i)
    writer.add(sample_record(header, i, i % 2 ? test::kWide : test::kTall));
  writer.finish();
  return inspect_shard(folder / name);
}

TEST(ShardIndex, SaysWhatInspectingSays) {
  const TemporaryFolder folder;
  const ShardInfo rich = rich_shard(folder, "a.h5");
  sample_shard(folder, "b.h5", 0, 3);
  sample_shard(folder, "c.h5", 3, 4);
  const ShardIndex read = ShardIndex::of({folder / "c.h5", folder.path()});
  const ShardIndex told = ShardIndex::decoded(read.encoded(), "test");
  for (const ShardIndex* index : {&read, &told}) {
    EXPECT_THAT(index->shards_by_path(), testing::ElementsAre(1, 3));
    ASSERT_EQ(index->shards(), 4U);
    for (std::size_t i = 0; i < 4; ++i) {
      const ShardInfo info = inspect_shard(index->path(i));
      EXPECT_EQ(*index->header(i), info.header);
      expect_same(index->layout(i), info.layout);
    }
    EXPECT_EQ(index->path(1), folder / "a.h5");
    EXPECT_EQ(index->header(2), index->header(3));  // one object
  }
}

TEST(ShardIndex, DamagedBytesAreRefused) {
  const TemporaryFolder folder;
  rich_shard(folder, "a.h5");
  const std::string bytes = ShardIndex::of({folder.path()}).encoded();
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    std::string damaged = bytes;
    damaged[i] = static_cast<char>(damaged[i] ^ 4);
    EXPECT_THROW((void)ShardIndex::decoded(damaged, "test"), Error) << i;
    EXPECT_THROW((void)ShardIndex::decoded(bytes.substr(0, i), "test"), Error) << i;
  }
}

TEST(ShardIndex, ForgedLayoutsStayInsideTheFile) {
  const TemporaryFolder folder;
  const ShardInfo info = rich_shard(folder, "a.h5");
  const std::string bytes = encoded_layout(info.layout);
  std::size_t accepted = 0;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    for (int value = 0; value < 256; ++value) {
      std::string forged = bytes;
      forged[i] = static_cast<char>(value);
      try {
        const ShardLayout layout = decoded_layout(forged, info.header, info.layout.file_bytes, "a.h5");
        ++accepted;
        std::vector<io::Extent> extents = layout.tables;
        extents.push_back(layout.features);
        std::uint64_t records = 0;
        for (const ShardBucket& bucket : layout.buckets) {
          records += bucket.records;
          extents.insert(extents.end(), bucket.latents.begin(), bucket.latents.end());
          extents.insert(extents.end(), bucket.controls.begin(), bucket.controls.end());
        }
        EXPECT_EQ(records, layout.records);
        for (const io::Extent& extent : extents) {
          EXPECT_LE(extent.offset, info.layout.file_bytes);
          EXPECT_LE(extent.bytes, info.layout.file_bytes - extent.offset);
        }
        EXPECT_EQ(layout.tables[0].bytes, layout.records * 8);
      } catch (const Error&) {
      }
    }
  }
  EXPECT_GE(accepted, bytes.size());  // the byte as it was, at least
}

/// A folder of shards with three records each, made once.
const std::string& prototype() {
  static const TemporaryFolder folder;
  static const std::string path = [] {
    for (std::size_t i = 0; i < kShards; ++i) sample_shard(folder, shard_name(i, kShards), 3 * i, 3);
    return folder.path();
  }();
  return path;
}

class FolderIndex : public testing::Test {
 protected:
  void SetUp() override {
    for (const auto& entry : fs::directory_iterator(prototype())) {
      fs::copy_file(entry.path(), folder_ / entry.path().filename().string());
    }
    sink_ = logger().add_sink([this](LogLevel, const std::string& line) { log_ += line + "\n"; },
                              LogLevel::warning);
    (void)Dataset({folder_.path()});
    ASSERT_TRUE(fs::exists(index_of(folder_.path())));
  }
  void TearDown() override { logger().remove(sink_); }

  [[nodiscard]] std::string shard(std::size_t i) const { return folder_ / shard_name(i, kShards); }
  /// Damages what only inspecting looks at, and hides it.
  void damage_description(const std::string& path) {
    const auto time = fs::last_write_time(path);
    const std::uint64_t size = fs::file_size(path);
    const char wrong = 'x';
    io::File::open_update(path).write_at(&wrong, 1, 4096 + 9);  // the HDF5 superblock
    ASSERT_EQ(fs::file_size(path), size);
    fs::last_write_time(path, time);
    EXPECT_THROW((void)inspect_shard(path), Error);
  }

  TemporaryFolder folder_;
  std::string log_;
  int sink_ = 0;
};

TEST_F(FolderIndex, SparesTheInspection) {
  for (std::size_t i = 0; i < kShards; ++i) damage_description(shard(i));
  const Dataset dataset({folder_.path()});
  EXPECT_EQ(dataset.records(), 3 * kShards);
  EXPECT_EQ(dataset.reader(7)->info(2).id, "picture-23");
  EXPECT_EQ(log_, "");
  fs::remove(index_of(folder_.path()));
  EXPECT_THROW(Dataset({folder_.path()}), Error);
}

TEST_F(FolderIndex, AsManyShardsStayOpenAsTheOrderUses) {
  const auto dataset = std::make_shared<const Dataset>(std::vector<std::string>{folder_.path()});
  const auto reopened = [&] {
    std::vector<std::shared_ptr<const ShardReader>> held;
    for (std::size_t s = 0; s < kShards; ++s) held.push_back(dataset->reader(s));
    std::size_t again = 0;
    for (std::size_t s = 0; s < kShards; ++s) again += dataset->reader(s) != held[s] ? 1 : 0;
    return again;
  };
  EXPECT_EQ(reopened(), kShards);  // a data set that nobody draws from holds 32
  {
    const Loader loader(dataset, {.resolution = 16, .global_batch = 4, .window_shards = kShards});
    EXPECT_EQ(reopened(), 0U);
  }
  const std::weak_ptr<const ShardReader> closed = dataset->reader(0);
  EXPECT_FALSE(closed.expired());
  dataset->close_shards();
  EXPECT_TRUE(closed.expired());
}

TEST_F(FolderIndex, HoldsForACopyWhoseTimesAreOthers) {
  for (std::size_t i = 0; i < kShards; ++i) {
    damage_description(shard(i));
    fs::last_write_time(shard(i), fs::last_write_time(shard(i)) + std::chrono::hours(1));
  }
  EXPECT_EQ(Dataset({folder_.path()}).records(), 3 * kShards);
  EXPECT_EQ(log_, "");
}

TEST_F(FolderIndex, ReplacedShardsAreReadAnew) {
  const std::uint64_t before = fs::file_size(shard(5));
  fs::remove(shard(5));
  sample_shard(folder_, shard_name(5, kShards), 18, 3);  // as long, other pictures
  ASSERT_EQ(fs::file_size(shard(5)), before);
  fs::remove(shard(9));
  sample_shard(folder_, shard_name(9, kShards), 27, 1);
  for (int opening = 0; opening < 2; ++opening) {
    const Dataset dataset({folder_.path()});
    EXPECT_EQ(dataset.records(), 3 * kShards - 2);
    EXPECT_EQ(dataset.reader(5)->info(0).id, "picture-18");
    EXPECT_EQ(log_.find("2 shards of") != std::string::npos, opening == 0) << log_;
    log_.clear();
  }
}

TEST_F(FolderIndex, AShardThatOnlyLooksLikeItsEntryIsRefusedWhenRead) {
  const auto time = fs::last_write_time(shard(5));
  fs::remove(shard(5));
  sample_shard(folder_, shard_name(5, kShards), 18, 3);
  fs::last_write_time(shard(5), time);
  const Dataset dataset({folder_.path()});
  try {
    (void)dataset.reader(5);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), testing::AllOf(HasSubstr(shard(5)), HasSubstr("not the one")));
  }
}

TEST_F(FolderIndex, FollowsShardsThatComeAndGo) {
  sample_shard(folder_, "extra.h5", 500, 7);
  EXPECT_EQ(Dataset({folder_.path()}).records(), 3 * kShards + 7);
  damage_description(folder_ / "extra.h5");
  EXPECT_EQ(Dataset({folder_.path()}).records(), 3 * kShards + 7);  // from the index that was written anew
  fs::remove(folder_ / "extra.h5");
  EXPECT_EQ(Dataset({folder_.path()}).records(), 3 * kShards);
  fs::remove(shard(3));
  EXPECT_THROW(Dataset({folder_.path()}), Error);  // one that its name says is missing
}

TEST_F(FolderIndex, ADamagedIndexIsNotUsed) {
  const char wrong = '!';
  io::File::open_update(index_of(folder_.path())).write_at(&wrong, 1, 100);
  EXPECT_EQ(Dataset({folder_.path()}).records(), 3 * kShards);
  EXPECT_THAT(log_, HasSubstr("damaged"));
  log_.clear();
  EXPECT_EQ(Dataset({folder_.path()}).records(), 3 * kShards);
  EXPECT_EQ(log_, "");  // written anew
}

TEST(ShardIndexOfFew, LeavesNoFile) {
  const TemporaryFolder folder;
  sample_shard(folder, "a.h5", 0, 2);
  EXPECT_EQ(Dataset({folder.path()}).records(), 2U);
  EXPECT_FALSE(fs::exists(index_of(folder.path())));
}

TEST(DatasetWriterOfMany, LeavesAnIndex) {
  const TemporaryFolder folder;
  DatasetWriter writer(folder.path(), sample_header(), std::uint64_t{1} << 30, 1);
  for (std::uint64_t i = 0; i < kShards; ++i) writer.add(sample_record(sample_header(), i));
  writer.finish();
  const ShardIndex index = ShardIndex::decoded(io::read_file(index_of(folder.path())), "index");
  EXPECT_EQ(index.shards(), kShards);
  EXPECT_EQ(index.path(0), shard_name(0, kShards));
}

}  // namespace
}  // namespace tessera::data
