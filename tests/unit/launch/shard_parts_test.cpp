// A data set built in parts is the one built in one go, up to where shards begin.

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <numeric>

#include "data/dataset.hpp"
#include "data/shard_writer.hpp"
#include "datasets/parts.hpp"
#include "datasets/shard_builder.hpp"
#include "io/file.hpp"
#include "plugin/assembly.hpp"

namespace tessera::datasets {
namespace {

/// Pictures of one colour each; those of `held_out` are.
class Numbers : public Source {
 public:
  Numbers(std::size_t count, const std::function<bool(std::size_t)>& held_out) {
    for (std::size_t i = 0; i < count; ++i) {
      Picture picture;
      picture.id = std::to_string(i);
      picture.caption = "number " + picture.id;
      picture.group = "group " + std::to_string(i % 3);
      picture.original_width = 8;
      picture.original_height = i % 4 == 3 ? 16 : 8;
      picture.held_out = held_out(i);
      pictures_.push_back(picture);
    }
  }
  std::string name() const override { return "numbers"; }
  std::size_t size() const override { return pictures_.size(); }
  const Picture& picture(std::size_t index) const override { return pictures_.at(index); }
  io::Image load(std::size_t index) const override {
    if (index == broken) throw Error("the picture is damaged", std::to_string(index));
    io::Image image(8, pictures_.at(index).original_height);
    std::ranges::fill(image.pixels, static_cast<std::uint8_t>(index));
    return image;
  }
  std::size_t broken = SIZE_MAX;

 private:
  std::vector<Picture> pictures_;
};

/// Everything a record says, as text.
std::string text_of(const data::ShardReader& shard, std::uint64_t i) {
  const data::RecordInfo info = shard.info(i);
  const data::Grid grid = shard.layout().buckets[info.bucket].grids.at(0);
  std::vector<float> latent(std::size_t{3} * grid.height * grid.width);
  shard.read_latent(i, 0, latent.data());
  std::vector<std::uint16_t> features(64);
  shard.read_caption(i, 0, features.data());
  return std::string(info.id) + " " + std::string(shard.caption_text(i, 0)) + " " +
         std::to_string(info.group) + " " + std::to_string(latent.front()) + " " +
         std::to_string(latent.size()) + " " +
         std::to_string(std::accumulate(features.begin(), features.end(), 0U));
}

class ShardPartsTest : public testing::Test {
 protected:
  ShardPartsTest()
      : registry_(Registry::with_installed_plugins()),
        assembly_(registry_, ConfigTree::parse(R"(
          codec.name = "pixel"
          text_encoder = { name = "word-hash", width = 16, length = 4 })",
                                               "test")) {
    codec_ = assembly_.make<Codec>("codec", {});
    text_ = assembly_.make<TextEncoder>("text_encoder", {});
  }
  ~ShardPartsTest() override { std::filesystem::remove_all(folder_); }

  BuildReport build(const Source& source, const std::string& name, Part part = {}) const {
    BuildOptions options;
    options.folder = (folder_ / name).string();
    options.sizes = {8};
    options.shard_records = 5;
    options.bucket_unit = 4;
    options.part = part;
    options.repeats = [](const Picture& picture) { return picture.id == "7" ? 3U : 1U; };
    return build_shards(source, {*codec_, *text_}, options);
  }
  /// All records in the order of the shards; within a shard they are sorted by bucket, so by id here.
  std::vector<std::string> records(const std::string& name) const {
    std::vector<std::string> all;
    const data::Dataset dataset({(folder_ / name).string()});
    for (std::size_t s = 0; s < dataset.shards(); ++s) {
      const auto shard = dataset.reader(s);
      for (std::uint64_t i = 0; i < shard->records(); ++i) all.push_back(text_of(*shard, i));
    }
    std::ranges::sort(all);
    return all;
  }
  [[nodiscard]] std::string folder(const std::string& name) const { return (folder_ / name).string(); }

  std::filesystem::path folder_ =
      std::filesystem::temp_directory_path() / ("tessera_parts_" + std::to_string(::getpid()));
  Registry registry_;
  Assembly assembly_;
  std::unique_ptr<Codec> codec_;
  std::unique_ptr<TextEncoder> text_;
};

bool every_fifth(std::size_t i) { return i % 5 == 4; }

TEST_F(ShardPartsTest, make_the_data_set_of_one_build_in_any_order) {
  const Numbers source(43, every_fifth);
  build(source, "one");
  for (const std::size_t count : {2U, 3U, 7U}) {
    const std::string name = "parts" + std::to_string(count);
    for (std::size_t k = 0; k < count; ++k) {
      const std::size_t index = (k * 2 + 1) % count;  // 1, 3, ..., then 0, 2, ... for odd counts
      const BuildReport report = build(source, name, {count == 2 ? 1 - k : index, count});
      EXPECT_EQ(report.missing_parts.size(), k + 1 == count ? 0 : count - k - 1);
      if (k + 1 == count) {
        EXPECT_EQ(report.shards.size(), data::Dataset({folder(name)}).shards());
        EXPECT_FALSE(std::filesystem::exists(folder(name) + "/parts"));
      } else {
        EXPECT_TRUE(report.shards.empty());
        EXPECT_THROW(data::Dataset({folder(name)}), Error);  // not half a data set
      }
    }
    EXPECT_EQ(records(name), records("one"));
    EXPECT_EQ(records(name + "/held_out"), records("one/held_out"));
  }
}

TEST_F(ShardPartsTest, keep_the_order_of_the_pictures) {
  const Numbers source(43, every_fifth);
  for (std::size_t k = 0; k < 4; ++k) build(source, "parts", {k, 4});
  const data::Dataset dataset({folder("parts")});
  int last = -1;
  for (std::size_t s = 0; s < dataset.shards(); ++s) {
    int least = 1000;
    int most = -1;
    for (std::uint64_t i = 0; i < dataset.reader(s)->records(); ++i) {
      const int number = std::stoi(std::string(dataset.reader(s)->info(i).id));
      least = std::min(least, number);
      most = std::max(most, number);
    }
    EXPECT_GE(least, last) << "shard " << s;  // a repeated picture may lie in two
    last = most;
  }
}

TEST_F(ShardPartsTest, may_be_held_out_as_a_whole) {
  const auto first_ten = [](std::size_t i) { return i < 10; };
  const Numbers source(20, first_ten);
  build(source, "one");
  build(source, "parts", {0, 3});
  build(source, "parts", {1, 3});
  build(source, "parts", {2, 3});
  EXPECT_EQ(records("parts"), records("one"));
  EXPECT_EQ(records("parts/held_out"), records("one/held_out"));
  const Numbers all(4, [](std::size_t) { return true; });
  build(all, "none", {0, 2});
  EXPECT_THROW(build(all, "none", {1, 2}), Error);
}

TEST_F(ShardPartsTest, are_built_once_and_again_after_a_failure) {
  Numbers source(20, every_fifth);
  EXPECT_FALSE(build(source, "parts", {0, 2}).was_complete);
  EXPECT_TRUE(build(source, "parts", {0, 2}).was_complete);
  source.broken = 17;
  EXPECT_THROW(build(source, "parts", {1, 2}), Error);
  // A process that was killed leaves shards without a note that they are complete.
  io::File::create(folder("parts") + "/parts/part-00002-of-00002/shard-00000-of-00001.h5").close();
  source.broken = SIZE_MAX;
  EXPECT_FALSE(build(source, "parts", {1, 2}).shards.empty());
  build(source, "one");
  EXPECT_EQ(records("parts"), records("one"));
  EXPECT_THROW(build(source, "parts", {1, 2}), Error);  // the folder holds a data set
}

// Killed while it moved the shards, or two last ones at once: whoever comes next finishes.
TEST_F(ShardPartsTest, a_move_that_was_interrupted_is_finished) {
  const Numbers source(43, every_fifth);
  build(source, "one");
  build(source, "parts", {0, 3});
  build(source, "parts", {1, 3});
  // The third part by hand, so that nothing is moved yet: as a build of its own that is then renamed.
  build(source, "copy", {2, 3});
  const std::string third = "/parts/part-00003-of-00003";
  std::filesystem::rename(folder("copy") + third, folder("parts") + third);
  const std::size_t shards = data::find_shards({folder("parts") + "/parts/part-00001-of-00003"}).size() +
                             data::find_shards({folder("parts") + "/parts/part-00002-of-00003"}).size() +
                             data::find_shards({folder("parts") + third}).size();
  const std::string moved = "/" + data::shard_name(0, shards);
  std::filesystem::rename(
      folder("parts") + "/parts/part-00001-of-00003/" +
          std::filesystem::path(data::find_shards({folder("parts") + "/parts/part-00001-of-00003"}).front())
              .filename()
              .string(),
      folder("parts") + moved);
  EXPECT_THROW(data::Dataset({folder("parts")}), Error);  // some shards are missing, loudly
  EXPECT_EQ(build(source, "parts", {2, 3}).shards.size(), shards);
  EXPECT_EQ(records("parts"), records("one"));
}

TEST_F(ShardPartsTest, of_different_sources_or_divisions_are_not_mixed) {
  build(Numbers(20, every_fifth), "parts", {0, 2});
  EXPECT_THROW(build(Numbers(20, every_fifth), "parts", {0, 3}), Error);
  EXPECT_THROW(build(Numbers(21, every_fifth), "parts", {1, 2}), Error);
}

}  // namespace
}  // namespace tessera::datasets
