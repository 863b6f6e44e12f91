// Shards: what the writer was given is what the reader returns, and no damaged file gets through.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <random>
#include <thread>

#include "base/hash.hpp"
#include "data/half.hpp"
#include "data/show.hpp"
#include "io/file_seal.hpp"
#include "unit/data/sample_shards.hpp"

namespace tessera::data {
namespace {

using test::sample_header;
using test::sample_record;
using test::sample_shard;
using test::TemporaryFolder;
using testing::AllOf;
using testing::HasSubstr;

template <class Action>
std::string message_of(Action&& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error was thrown";
}

void expect_record(const ShardReader& shard, std::uint64_t record, const Record& expected) {
  const ShardHeader& header = shard.header();
  const RecordInfo info = shard.info(record);
  EXPECT_EQ(info.id, expected.id);
  EXPECT_EQ(info.width, expected.width);
  EXPECT_EQ(info.height, expected.height);
  EXPECT_EQ(info.group, expected.group);
  EXPECT_EQ(info.subgroup, expected.subgroup);
  for (std::size_t r = 0; r < header.resolutions.size(); ++r) {
    ASSERT_EQ(shard.layout().buckets[info.bucket].grids[r], expected.latents[r].grid);
    std::vector<float> latent(expected.latents[r].values.size());
    shard.read_latent(record, r, latent.data());
    EXPECT_EQ(latent, expected.latents[r].values);
    if (header.control.empty()) continue;
    shard.read_control(record, r, latent.data());
    EXPECT_EQ(latent, expected.controls[r].values);
  }
  ASSERT_EQ(info.captions, expected.captions.size());
  for (std::uint32_t c = 0; c < info.captions; ++c) {
    const Record::Caption& caption = expected.captions[c];
    EXPECT_EQ(shard.caption_text(record, c), caption.text);
    EXPECT_EQ(shard.caption_len_real(record, c), caption.len_real);
    std::vector<std::uint16_t> halves(caption.features.size(), 0x1234);
    EXPECT_EQ(shard.read_caption(record, c, halves.data()), caption.len_real);
    for (std::size_t e = 0; e < halves.size(); ++e) {
      const bool kept =
          header.caption_store == CaptionStore::all || e < caption.len_real * header.caption_width;
      EXPECT_EQ(float_from_half(halves[e]), kept ? caption.features[e] : 0.0F) << e;
    }
  }
}

TEST(ShardWriter, KnowsTheFileSizeBeforeItWrites) {
  // Tables and labels that outweigh the bulk: these need space too.
  ShardHeader header = sample_header();
  header.control = "edges";
  header.groups.assign(500, std::string(100, 'g'));
  for (const std::uint64_t records : {1U, 3000U}) {
    const TemporaryFolder folder;
    ShardWriter writer(folder / "s.h5", header);
    for (std::uint64_t i = 0; i < records; ++i) {
      Record record = sample_record(header, i);
      record.id += std::string(200, 'i');
      for (Record::Caption& caption : record.captions) caption.text += std::string(1000, 't');
      writer.add(record);
    }
    const std::uint64_t expected = writer.file_bytes();
    writer.finish();
    const std::uint64_t written = std::filesystem::file_size(folder / "s.h5");
    EXPECT_LE(written, expected) << records;
    EXPECT_GT(written, writer.bytes()) << records;
    EXPECT_LT(expected - written, written / 10 + 400'000) << records;
  }
}

class ShardKinds
    : public testing::TestWithParam<std::tuple<LatentKind, io::StoredType, CaptionStore, std::string>> {};

TEST_P(ShardKinds, RoundTrip) {
  const TemporaryFolder folder;
  ShardHeader header = sample_header();
  std::tie(header.latent, header.latent_type, header.caption_store, header.control) = GetParam();
  const auto shard = ShardReader::open(sample_shard(folder, "s.h5", 0, 11, header));
  EXPECT_EQ(shard->records(), 11U);
  EXPECT_EQ(shard->header().codec, header.codec);
  EXPECT_EQ(shard->header().codec_config, header.codec_config);
  EXPECT_EQ(shard->header().text_encoder, header.text_encoder);
  EXPECT_EQ(shard->header().text_encoder_config, header.text_encoder_config);
  EXPECT_EQ(shard->header().latent_type, header.latent_type);
  EXPECT_EQ(shard->header().control, header.control);
  EXPECT_EQ(shard->header().resolutions, header.resolutions);
  EXPECT_EQ(shard->header().groups, header.groups);
  EXPECT_EQ(shard->header().subgroups, header.subgroups);
  for (std::uint64_t i = 0; i < 11; ++i) expect_record(*shard, i, sample_record(header, i));
  EXPECT_NO_THROW(verify_shard(*shard));
}

INSTANTIATE_TEST_SUITE_P(All, ShardKinds,
                         testing::Combine(testing::Values(LatentKind::sample, LatentKind::posterior),
                                          testing::Values(io::StoredType::f16, io::StoredType::f32),
                                          testing::Values(CaptionStore::all, CaptionStore::real),
                                          testing::Values("", "edges of some kind")));

TEST(Shard, ControlMapsAreSortedAndCheckedLikeLatents) {
  const TemporaryFolder folder;
  ShardHeader header = sample_header();
  header.control = "edges";
  ShardWriter writer(folder / "s.h5", header);
  const auto shape = [](std::uint64_t i) { return i % 3 == 0 ? test::kWide : test::kSquare; };
  for (std::uint64_t i = 0; i < 10; ++i) writer.add(sample_record(header, i, shape(i)));
  writer.finish();
  std::uint64_t offset = 0;
  {
    const auto shard = ShardReader::open(folder / "s.h5");
    std::uint64_t place = 0;
    for (const Grid bucket : {test::kSquare, test::kWide}) {
      for (std::uint64_t i = 0; i < 10; ++i) {
        if (shape(i) == bucket) expect_record(*shard, place++, sample_record(header, i, bucket));
      }
    }
    offset = shard->layout().buckets[1].controls[1].offset;
  }
  const io::File file = io::File::open_update(folder / "s.h5");
  const std::uint16_t other = 0x3c01;
  file.write_at(&other, sizeof(other), offset);
  const auto shard = ShardReader::open(folder / "s.h5");
  std::vector<float> latent(header.latent_values(shard->layout().buckets[1].grids[1]));
  EXPECT_NO_THROW(shard->read_latent(6, 1, latent.data()));
  EXPECT_THAT(message_of([&] { shard->read_control(6, 1, latent.data()); }),
              AllOf(HasSubstr("control map at resolution 16 of record 6"), HasSubstr("checksum")));
  EXPECT_NO_THROW(shard->read_control(7, 1, latent.data()));
}

TEST(Shard, WithoutControlMapsSaysSo) {
  const TemporaryFolder folder;
  const auto shard = ShardReader::open(sample_shard(folder, "s.h5", 0, 2));
  std::vector<float> latent(1000);
  EXPECT_THAT(message_of([&] { shard->read_control(0, 0, latent.data()); }), HasSubstr("--control"));
}

TEST(Shard, SortsRecordsByAspectBucket) {
  const TemporaryFolder folder;
  const ShardHeader header = sample_header();
  ShardWriter writer(folder / "s.h5", header);
  const auto shape = [](std::uint64_t i) { return i % 3 == 0 ? test::kWide : test::kSquare; };
  for (std::uint64_t i = 0; i < 10; ++i) writer.add(sample_record(header, i, shape(i)));
  writer.finish();
  const auto shard = ShardReader::open(folder / "s.h5");
  ASSERT_EQ(shard->layout().buckets.size(), 2U);
  EXPECT_EQ(shard->layout().buckets[0].records, 6U);  // the square ones
  EXPECT_EQ(shard->layout().buckets[1].records, 4U);
  std::uint64_t place = 0;
  for (const Grid bucket : {test::kSquare, test::kWide}) {
    for (std::uint64_t i = 0; i < 10; ++i) {
      if (shape(i) == bucket) expect_record(*shard, place++, sample_record(header, i, bucket));
    }
  }
}

TEST(Shard, AllowsDataWithoutCaptionFeatures) {
  const TemporaryFolder folder;
  ShardHeader header = sample_header();
  header.caption_length = 0;
  ShardWriter writer(folder / "s.h5", header);
  Record record = sample_record(header, 1);
  writer.add(record);
  record.captions.clear();
  writer.add(record);
  writer.finish();
  const auto shard = ShardReader::open(folder / "s.h5");
  EXPECT_EQ(shard->info(0).captions, 2U);
  EXPECT_EQ(shard->info(1).captions, 0U);
  EXPECT_NO_THROW(verify_shard(*shard));
}

TEST(ShardWriter, RefusesRecordsThatDoNotFit) {
  const TemporaryFolder folder;
  const ShardHeader header = sample_header();
  ShardWriter writer(folder / "s.h5", header);
  const auto refused = [&](auto&& change) {
    Record record = sample_record(header, 5);
    change(record);
    return message_of([&] { writer.add(record); });
  };
  EXPECT_THAT(refused([](Record& r) { r.latents[1].values[3] = NAN; }),
              AllOf(HasSubstr("picture-5"), HasSubstr("NaN")));
  EXPECT_THAT(refused([](Record& r) { r.latents[0].values[3] = 65520; }), HasSubstr("float16"));
  EXPECT_THAT(refused([](Record& r) { r.captions[1].features[0] = -INFINITY; }), HasSubstr("NaN"));
  EXPECT_THAT(refused([](Record& r) { r.latents.pop_back(); }), HasSubstr("per resolution"));
  EXPECT_THAT(refused([](Record& r) { r.latents[0].values.pop_back(); }), HasSubstr("values"));
  EXPECT_THAT(refused([](Record& r) { r.captions.clear(); }), HasSubstr("no caption"));
  EXPECT_THAT(refused([](Record& r) { r.captions[0].len_real = 6; }), HasSubstr("real positions"));
  EXPECT_THAT(refused([](Record& r) { r.group = 2; }), HasSubstr("group"));
  EXPECT_THAT(refused([](Record& r) { r.controls = r.latents; }), HasSubstr("does not name"));
  ShardHeader with_maps = header;
  with_maps.control = "edges";
  ShardWriter controlled(folder / "c.h5", with_maps);
  const auto refused_map = [&](auto&& change) {
    Record record = sample_record(with_maps, 5);
    change(record);
    return message_of([&] { controlled.add(record); });
  };
  EXPECT_THAT(refused_map([](Record& r) { r.controls.clear(); }), HasSubstr("control map per resolution"));
  EXPECT_THAT(refused_map([](Record& r) { r.controls[1].values[3] = NAN; }),
              HasSubstr("control map with NaN"));
  EXPECT_THAT(refused_map([](Record& r) {
                std::swap(r.controls[1].grid.width, r.controls[1].grid.height);
                r.controls[1].grid.width *= 2;
                r.controls[1].grid.height /= 2;
              }),
              HasSubstr("another size"));
  EXPECT_THAT(message_of([&] { writer.finish(); }), HasSubstr("no record"));
  writer.add(sample_record(header, 5));
  writer.finish();
  EXPECT_EQ(ShardReader::open(folder / "s.h5")->records(), 1U);
}

TEST(ShardWriter, LeavesNothingWithoutFinish) {
  const TemporaryFolder folder;
  {
    ShardWriter writer(folder / "s.h5", sample_header());
    writer.add(sample_record(sample_header(), 1));
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
  EXPECT_THROW(ShardWriter(folder / "none/s.h5", sample_header()), Error);
}

TEST(Shard, EveryTruncationIsAnError) {
  const TemporaryFolder folder;
  const std::string path = sample_shard(folder, "s.h5", 0, 7);
  const std::uint64_t bytes = std::filesystem::file_size(path);
  std::vector<std::uint64_t> sizes;
  for (std::uint64_t i = 0; i < 600; ++i) sizes.push_back(i);
  for (std::uint64_t i = 600; i < bytes; i += 97) sizes.push_back(i);
  for (std::uint64_t i = 1; i < 50; ++i) sizes.push_back(bytes - i);
  std::sort(sizes.rbegin(), sizes.rend());
  for (const std::uint64_t size : sizes) {
    std::filesystem::resize_file(path, size);
    const std::string message = message_of([&] { (void)ShardReader::open(path); });
    EXPECT_THAT(message, AllOf(HasSubstr(path), HasSubstr("Remedy:"))) << size;
  }
  EXPECT_GT(sizes.size(), 700U);
}

TEST(Shard, EveryBitFlipIsAnErrorOrHarmless) {
  const TemporaryFolder folder;
  const std::string path = sample_shard(folder, "s.h5", 0, 4);
  const std::string content = io::read_file(path);
  const io::File file = io::File::open_update(path);
  const ShardHeader header = sample_header();
  const auto reads = [&] {
    const auto shard = ShardReader::open(path);
    verify_shard(*shard);
    for (std::uint64_t i = 0; i < 4; ++i) expect_record(*shard, i, sample_record(header, i));
  };
  reads();
  std::mt19937 random(1);
  std::size_t caught = 0, flips = 0;
  for (std::size_t at = 0; at < content.size(); at += 1 + random() % 13) {
    const char changed = static_cast<char>(content[at] ^ (1 << (random() % 8)));
    file.write_at(&changed, 1, at);
    ++flips;
    // Either an Error, or (in the unused bytes of the user block) exactly the content that was written.
    try {
      reads();
    } catch (const Error& error) {
      ++caught;
      EXPECT_THAT(error.what(), AllOf(HasSubstr(path), HasSubstr("Remedy:")));
    }
    file.write_at(&content[at], 1, at);
  }
  const double unused = static_cast<double>(io::seal_bytes(0)) / static_cast<double>(content.size());
  EXPECT_GT(static_cast<double>(caught), static_cast<double>(flips) * (0.95 - unused));
}

// Changes a latent behind the checksum's back, and gives it a right checksum again where asked.
void poison(const std::string& path, std::uint64_t record, bool mend_checksum) {
  const ShardInfo info = inspect_shard(path);
  const ShardBucket& bucket = info.layout.buckets[0];
  const std::uint64_t bytes = info.header.latent_values(bucket.grids[0]) * 2;
  const io::File file = io::File::open_update(path);
  const std::uint16_t nan = 0x7e00;
  file.write_at(&nan, 2, bucket.latents[0].offset + record * bytes + 6);
  if (!mend_checksum) return;
  std::vector<std::uint8_t> latent(bytes);
  file.read_at(latent.data(), bytes, bucket.latents[0].offset + record * bytes);
  const std::uint32_t crc = crc32c(latent.data(), bytes);
  file.write_at(&crc, 4, info.layout.tables[0].offset + record * info.header.resolutions.size() * 4);
  // the tables have a checksum of their own, in the sealed description
  std::uint32_t tables = 0;
  for (const io::Extent& extent : info.layout.tables) {
    std::vector<std::uint8_t> table(extent.bytes);
    file.read_at(table.data(), table.size(), extent.offset);
    tables = crc32c(table.data(), table.size(), tables);
  }
  const std::vector<io::Extent> bulk = io::check_seal(path, "shard");
  {
    io::Hdf5File description = io::Hdf5File::open(path, io::Hdf5Access::read_write);
    description.set_attribute("/", "tables_crc32c", std::int64_t{tables});
  }
  io::seal_file(path, io::seal_bytes(bulk.size()), bulk);
}

TEST(Shard, NanInALatentNamesTheRecord) {
  const TemporaryFolder folder;
  const std::string path = sample_shard(folder, "s.h5", 0, 7);
  poison(path, 4, true);
  const auto shard = ShardReader::open(path);
  std::vector<float> latent(shard->header().latent_values(shard->layout().buckets[0].grids[0]));
  for (std::uint64_t i = 0; i < 7; ++i) {
    const std::string message = message_of([&] { shard->read_latent(i, 0, latent.data()); });
    if (i == 4) {
      EXPECT_THAT(message, AllOf(HasSubstr(path), HasSubstr("record 4 ('picture-4') holds NaN"),
                                 HasSubstr("Remedy:")));
    } else {
      EXPECT_EQ(message, "no error was thrown");
    }
  }
}

TEST(Shard, ChecksumMismatchNamesTheRecord) {
  const TemporaryFolder folder;
  const std::string path = sample_shard(folder, "s.h5", 0, 7);
  poison(path, 2, false);
  const auto shard = ShardReader::open(path);
  EXPECT_THAT(
      message_of([&] { verify_shard(*shard); }),
      AllOf(HasSubstr(path), HasSubstr("record 2 ('picture-2')"), HasSubstr("checksum"), HasSubstr("NaN")));
}

TEST(Shard, RefusesOtherHdf5Files) {
  const TemporaryFolder folder;
  { io::Hdf5File::create(folder / "plain.h5").set_attribute("/", "format", "something"); }
  EXPECT_THAT(message_of([&] { (void)inspect_shard(folder / "plain.h5"); }),
              HasSubstr("not a Tessera shard"));
  {
    io::Hdf5File::create(folder / "sealed.h5", {.user_block = 4096})
        .set_attribute("/", "format", "something");
  }
  io::seal_file(folder / "sealed.h5", 4096, {});
  EXPECT_THAT(message_of([&] { (void)inspect_shard(folder / "sealed.h5"); }), HasSubstr("not a shard"));
}

// A forged description that passes the seal must still not lead outside the file.
TEST(Shard, ForgedDescriptionsAreErrors) {
  const TemporaryFolder folder;
  const std::string path = sample_shard(folder, "s.h5", 0, 7);
  const std::string content = io::read_file(path);
  const auto forged = [&](auto&& change) {
    io::replace_file(path, content);
    const std::vector<io::Extent> bulk = io::check_seal(path, "shard");
    {
      io::Hdf5File file = io::Hdf5File::open(path, io::Hdf5Access::read_write);
      change(file);
    }
    io::seal_file(path, io::seal_bytes(bulk.size()), bulk);
    return message_of([&] { verify_shard(*ShardReader::open(path)); });
  };
  using H = io::Hdf5File;
  const auto set = [&](const char* name, std::int64_t value) {
    return forged([=](H& file) { file.set_attribute("/", name, value); });
  };
  for (const char* name : {"records", "captions", "latent_channels", "caption_length", "caption_width"}) {
    for (const std::int64_t value : {std::int64_t{-1}, std::int64_t{3}, std::int64_t{1} << 40, INT64_MAX}) {
      if (name == std::string("latent_channels") && value == 3) continue;  // what it is
      EXPECT_THAT(set(name, value), AllOf(HasSubstr(path), HasSubstr("Remedy:"))) << name << " " << value;
    }
  }
  EXPECT_THAT(set("format_version", 2), HasSubstr("format version 2"));
  const auto list = [&](const char* name, std::vector<std::int64_t> values) {
    return forged([=](H& file) { file.set_attribute("/", name, std::span<const std::int64_t>(values)); });
  };
  EXPECT_THAT(list("bucket_records", {8}), HasSubstr("Remedy:"));
  EXPECT_THAT(list("bucket_records", {-1, 8}), HasSubstr("Remedy:"));
  EXPECT_THAT(list("bucket_grids", {2, 2, 4, 5}), HasSubstr("Remedy:"));
  EXPECT_THAT(list("bucket_grids", {2, 2, 4, INT64_MAX}), HasSubstr("Remedy:"));
  EXPECT_THAT(list("resolutions", {}), HasSubstr("Remedy:"));
  EXPECT_THAT(list("resolutions", {16, 8}), HasSubstr("Remedy:"));
  EXPECT_THAT(list("resolutions", {8}), HasSubstr("Remedy:"));
  EXPECT_THAT(forged([](H& file) { file.set_attribute("/", "latent", "else"); }), HasSubstr("unknown"));
  EXPECT_THAT(forged([](H& file) { file.set_attribute("/", "caption_store", "real"); }),
              HasSubstr("Remedy:"));
  EXPECT_THAT(forged([](H& file) { file.set_attribute("/", "codec", std::int64_t{1}); }),
              HasSubstr("not a string"));
  EXPECT_EQ(forged([](H&) {}), "no error was thrown");
}

TEST(Shard, DescriptionTellsWhatMatters) {
  const TemporaryFolder folder;
  const auto shard = ShardReader::open(sample_shard(folder, "s.h5", 0, 9));
  const std::string text = describe(*shard, 3);
  EXPECT_THAT(text, AllOf(HasSubstr("records       9, captions 13"), HasSubstr("pixel"),
                          HasSubstr("word-hash"), HasSubstr("5 x 4"), HasSubstr("hearts 3, fruit 3"),
                          HasSubstr("caption 0 of 6 ❤"), HasSubstr("8 px: 2x2 16 px: 4x4")));
  const ShardStatistics found = verify_shard(*shard, 1);
  double sum = 0, least = 1e9;
  std::uint64_t count = 0;
  for (std::uint64_t i = 0; i < 9; ++i) {
    const Record record = sample_record(shard->header(), i);
    for (const float value : record.latents[1].values) {
      sum += value;
      least = std::min<double>(least, value);
      ++count;
    }
  }
  EXPECT_EQ(found.values, count);
  EXPECT_NEAR(found.mean, sum / static_cast<double>(count), 1e-9);
  EXPECT_EQ(found.least, least);
}

TEST(Shard, ReadsFromManyThreads) {
  const TemporaryFolder folder;
  const auto shard = ShardReader::open(sample_shard(folder, "s.h5", 0, 40));
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (std::uint64_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      std::vector<float> latent(3 * 16);
      for (std::uint64_t i = t; i < 40; i += 2) {
        shard->read_latent(i, 1, latent.data());
        if (latent != sample_record(shard->header(), i).latents[1].values) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

}  // namespace
}  // namespace tessera::data
