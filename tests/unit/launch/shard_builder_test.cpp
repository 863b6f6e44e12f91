// Pictures to shards: what is held out stays out, weights repeat, sizes lie side by side, labels agree.

#include "datasets/shard_builder.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <map>

#include "base/error.hpp"
#include "data/aspect_buckets.hpp"
#include "data/half.hpp"
#include "data/shard_reader.hpp"
#include "io/resize.hpp"
#include "plugin/assembly.hpp"

namespace tessera::datasets {
namespace {

/// Plain coloured pictures 12 x 8; every fifth is held out.
class Colours : public Source {
 public:
  explicit Colours(std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
      Picture picture;
      picture.id = "p" + std::to_string(i);
      picture.caption = "caption " + std::to_string(i);
      picture.alternative_captions = {"other " + std::to_string(i)};
      picture.group = i % 2 == 0 ? "even" : "odd";
      picture.subgroup = i % 3 == 0 ? "" : "third";
      picture.original_width = 12;
      picture.original_height = 8;
      picture.held_out = i % 5 == 4;
      pictures_.push_back(picture);
    }
  }
  std::string name() const override { return "colours"; }
  std::size_t size() const override { return pictures_.size(); }
  const Picture& picture(std::size_t index) const override { return pictures_.at(index); }
  io::Image load(std::size_t index) const override {
    if (index == broken) throw Error("the picture is damaged", "p" + std::to_string(index));
    io::Image image(12, 8);
    for (std::size_t k = 0; k < image.pixels.size(); ++k) {
      image.pixels[k] = static_cast<std::uint8_t>((31 * index + 7 * k) % 256);
    }
    return image;
  }
  std::size_t broken = SIZE_MAX;

 private:
  std::vector<Picture> pictures_;
};

class ShardBuilderTest : public testing::Test {
 protected:
  ShardBuilderTest()
      : registry_(Registry::with_installed_plugins()),
        assembly_(registry_, ConfigTree::parse(R"(
          codec.name = "pixel"
          text_encoder = { name = "word-hash", width = 16, length = 4 })",
                                               "test")) {
    codec_ = assembly_.make<Codec>("codec", {});
    text_ = assembly_.make<TextEncoder>("text_encoder", {});
    options_.folder = folder_.string();
    options_.sizes = {4, 8};
  }
  ~ShardBuilderTest() override { std::filesystem::remove_all(folder_); }
  BuildReport build(const Source& source) const { return build_shards(source, {*codec_, *text_}, options_); }

  std::filesystem::path folder_ =
      std::filesystem::temp_directory_path() / ("tessera_builder_" + std::to_string(::getpid()));
  Registry registry_;
  Assembly assembly_;
  std::unique_ptr<Codec> codec_;
  std::unique_ptr<TextEncoder> text_;
  BuildOptions options_;
};

TEST_F(ShardBuilderTest, records_hold_what_the_source_said) {
  const Colours source(10);
  const BuildReport report = build(source);
  EXPECT_EQ(report.pictures, 8U);
  EXPECT_EQ(report.records, 8U);
  EXPECT_EQ(report.held_out, 2U);
  ASSERT_EQ(report.shards.size(), 1U);
  const auto shard = data::ShardReader::open(report.shards[0]);
  EXPECT_EQ(shard->header().resolutions, (std::vector<std::int64_t>{4, 8}));
  EXPECT_EQ(shard->header().codec, "pixel");
  EXPECT_EQ(shard->header().text_encoder, text_->identity());
  EXPECT_EQ(shard->header().groups, (std::vector<std::string>{"even", "odd"}));
  ASSERT_EQ(shard->records(), 8U);

  const data::RecordInfo info = shard->info(1);
  EXPECT_EQ(info.id, "p1");
  EXPECT_EQ(info.width, 12);
  EXPECT_EQ(info.height, 8);
  EXPECT_EQ(info.group, 1);
  EXPECT_EQ(info.subgroup, 0);
  EXPECT_EQ(shard->info(0).subgroup, -1);
  EXPECT_EQ(info.captions, 1U);
  EXPECT_EQ(shard->caption_text(1, 0), "caption 1");
  for (const std::size_t r : {std::size_t{0}, std::size_t{1}}) {
    const int side = r == 0 ? 4 : 8;
    const std::vector<float> expected = codec_->encode(io::resize_and_crop(source.load(1), {side, side}));
    std::vector<float> latent(expected.size());
    shard->read_latent(1, r, latent.data());
    for (std::size_t k = 0; k < latent.size(); ++k) {
      ASSERT_EQ(latent[k], data::float_from_half(data::half_from_float(expected[k])));
    }
  }
  const EncodedText expected = text_->encode("caption 1");
  std::vector<std::uint16_t> features(expected.features.size());
  EXPECT_EQ(shard->read_caption(1, 0, features.data()), 2U);
  EXPECT_EQ(features[17], data::half_from_float(expected.features[17]));
}

TEST_F(ShardBuilderTest, control_maps_are_made_of_the_pictures_as_they_are_stored) {
  Assembly assembly(registry_,
                    ConfigTree::parse("control = { name = \"canny\", low = 20, high = 40 }", "test"));
  const auto control = assembly.make<ControlMap>("control", {});
  const Colours source(3);
  const BuildReport report = build_shards(source, {*codec_, *text_, control.get()}, options_);
  const auto shard = data::ShardReader::open(report.shards.at(0));
  EXPECT_EQ(shard->header().control, "canny low=20 high=40");
  for (const std::size_t r : {std::size_t{0}, std::size_t{1}}) {
    const int side = r == 0 ? 4 : 8;
    const std::vector<float> expected =
        codec_->encode(control->extract(io::resize_and_crop(source.load(1), {side, side})));
    std::vector<float> map(expected.size());
    shard->read_control(1, r, map.data());
    EXPECT_EQ(map, expected);
    EXPECT_EQ(*std::ranges::max_element(map), 1.0F);
    EXPECT_EQ(*std::ranges::min_element(map), -1.0F);
  }
}

TEST_F(ShardBuilderTest, held_out_pictures_have_shards_of_their_own) {
  const Colours source(10);
  const BuildReport report = build(source);
  ASSERT_EQ(report.held_out_shards.size(), 1U);
  EXPECT_EQ(std::filesystem::path(report.held_out_shards[0]).parent_path(), folder_ / "held_out");
  const auto training = data::ShardReader::open(report.shards[0]);
  for (std::uint64_t i = 0; i < training->records(); ++i) {
    EXPECT_NE(training->info(i).id, "p4");
    EXPECT_NE(training->info(i).id, "p9");
  }
  const auto held_out = data::ShardReader::open(report.held_out_shards[0]);
  ASSERT_EQ(held_out->records(), 2U);
  EXPECT_EQ(held_out->info(0).id, "p4");
  EXPECT_EQ(held_out->header().groups, training->header().groups);
}

TEST_F(ShardBuilderTest, weights_repeat_training_pictures_only) {
  options_.repeats = [](const Picture& picture) -> std::size_t {
    if (picture.id == "p2" || picture.id == "p4") return 3;
    return picture.id == "p3" ? 0 : 1;
  };
  const BuildReport report = build(Colours(10));
  EXPECT_EQ(report.pictures, 7U);
  EXPECT_EQ(report.records, 9U);
  EXPECT_EQ(report.held_out, 2U);
  const auto shard = data::ShardReader::open(report.shards[0]);
  std::map<std::string, int> seen;
  for (std::uint64_t i = 0; i < shard->records(); ++i) {
    const std::string id(shard->info(i).id);
    EXPECT_EQ(seen[id]++, 0) << id;
  }
  EXPECT_TRUE(seen.contains("p2") && seen.contains("p2#2") && seen.contains("p2#3"));
  EXPECT_FALSE(seen.contains("p3"));
}

TEST_F(ShardBuilderTest, alternatives_and_shards_of_a_size) {
  options_.alternatives = true;
  options_.shard_records = 3;
  const BuildReport report = build(Colours(10));
  EXPECT_EQ(report.shards.size(), 3U);  // 8 = 3 + 3 + 2
  const auto last = data::ShardReader::open(report.shards.back());
  EXPECT_EQ(last->records(), 2U);
  EXPECT_EQ(last->info(0).captions, 2U);
  EXPECT_EQ(last->caption_text(0, 0).substr(0, 7), "caption");
  EXPECT_EQ(last->caption_text(0, 1).substr(0, 5), "other");
}

/// Pictures of given sizes, a gradient from left to right and from top to bottom.
class Shapes : public Source {
 public:
  explicit Shapes(const std::vector<io::ImageSize>& sizes) {
    for (const io::ImageSize size : sizes) {
      Picture picture;
      picture.id = std::to_string(size.width) + "x" + std::to_string(size.height);
      picture.caption = "a picture " + picture.id;
      picture.original_width = size.width;
      picture.original_height = size.height;
      pictures_.push_back(picture);
    }
  }
  std::string name() const override { return "shapes"; }
  std::size_t size() const override { return pictures_.size(); }
  const Picture& picture(std::size_t index) const override { return pictures_.at(index); }
  io::Image load(std::size_t index) const override {
    io::Image image(picture(index).original_width, picture(index).original_height);
    for (int y = 0; y < image.height; ++y) {
      for (int x = 0; x < image.width; ++x) {
        image.at(x, y)[0] = static_cast<std::uint8_t>(255 * x / image.width);
        image.at(x, y)[1] = static_cast<std::uint8_t>(255 * y / image.height);
      }
    }
    return image;
  }

 private:
  std::vector<Picture> pictures_;
};

TEST_F(ShardBuilderTest, buckets_keep_the_aspect_ratio_at_every_size) {
  options_.sizes = {16, 32};
  options_.bucket_unit = 4;
  options_.max_ratio = 4;
  const Shapes source(
      {{60, 60}, {90, 40}, {40, 90}, {300, 100}, {45, 40}, {401, 100}, {100, 401}, {400, 100}});
  const BuildReport report = build(source);
  EXPECT_EQ(report.records, 6U);
  EXPECT_EQ(report.too_long, 2U);  // 401 : 100 either way; 400 : 100 is kept
  const auto shard = data::ShardReader::open(report.shards[0]);
  // at 32 pixels with a unit of 4, height x width of the bucket nearest to the picture's ratio
  const std::map<std::string, std::array<std::uint32_t, 4>> expected{
      {"60x60", {16, 16, 32, 32}},  {"90x40", {12, 24, 20, 48}}, {"40x90", {24, 12, 48, 20}},
      {"300x100", {8, 28, 20, 56}}, {"45x40", {16, 20, 32, 36}}, {"400x100", {8, 32, 16, 64}}};
  std::map<double, std::size_t> counts;
  for (std::uint64_t i = 0; i < shard->records(); ++i) {
    const data::RecordInfo info = shard->info(i);
    const std::string id(info.id);
    const auto& grids = shard->layout().buckets[info.bucket].grids;
    const auto& wanted = expected.at(id);
    EXPECT_EQ(grids[1], (data::Grid{wanted[2], wanted[3]})) << id;
    ++counts[data::key_ratio(grids[1].height, grids[1].width)];
    EXPECT_EQ(id, std::to_string(info.width) + "x" + std::to_string(info.height));
    std::size_t index = 0;
    while (source.picture(index).id != id) ++index;
    for (const std::size_t r : {std::size_t{0}, std::size_t{1}}) {
      const io::ImageSize size{static_cast<int>(grids[r].width), static_cast<int>(grids[r].height)};
      const std::vector<float> whole = codec_->encode(io::resize_and_crop(source.load(index), size));
      std::vector<float> latent(whole.size());
      shard->read_latent(i, r, latent.data());
      for (std::size_t k = 0; k < latent.size(); ++k) {
        ASSERT_EQ(latent[k], data::float_from_half(data::half_from_float(whole[k])));
      }
    }
  }
  EXPECT_EQ(report.buckets, (std::vector<std::pair<double, std::size_t>>(counts.begin(), counts.end())));
}

TEST_F(ShardBuilderTest, without_a_limit_the_longest_pictures_stay) {
  options_.sizes = {32};
  options_.bucket_unit = 8;
  const BuildReport report = build(Shapes({{900, 100}, {100, 900}}));
  EXPECT_EQ(report.records, 2U);
  EXPECT_EQ(report.too_long, 0U);
  EXPECT_EQ(report.buckets, (std::vector<std::pair<double, std::size_t>>{{0.25, 1}, {4, 1}}));
}

TEST_F(ShardBuilderTest, squares_may_have_a_limit_too) {
  options_.max_ratio = 2;
  const BuildReport report = build(Shapes({{20, 10}, {21, 10}, {10, 21}, {10, 10}}));
  EXPECT_EQ(report.records, 2U);
  EXPECT_EQ(report.too_long, 2U);
  options_.folder = (folder_ / "none").string();
  EXPECT_THROW(build(Shapes({{21, 10}})), Error);
}

TEST_F(ShardBuilderTest, full_captions_are_counted) {
  class Words : public Colours {
   public:
    Words() : Colours(1) { picture_.original_width = picture_.original_height = 8; }
    const Picture& picture(std::size_t) const override { return picture_; }
    void say(const std::string& caption) { picture_.caption = caption; }

   private:
    Picture picture_;
  };
  Words source;
  source.say("three words only");
  EXPECT_EQ(build(source).full_captions, 0U);
  options_.folder = (folder_ / "more").string();
  source.say("red heart and green apple");  // the encoder takes four words
  EXPECT_EQ(build(source).full_captions, 1U);
}

TEST_F(ShardBuilderTest, buckets_must_suit_the_sizes) {
  options_.sizes = {30};
  options_.bucket_unit = 4;
  EXPECT_THROW(build(Shapes({{20, 10}})), Error);
}

TEST_F(ShardBuilderTest, threads_change_nothing) {
  const Colours source(700);
  const BuildReport one = build(source);
  options_.folder = (folder_ / "again").string();
  options_.threads = 3;
  const BuildReport three = build(source);
  const auto a = data::ShardReader::open(one.shards[0]);
  const auto b = data::ShardReader::open(three.shards[0]);
  ASSERT_EQ(a->records(), b->records());
  EXPECT_EQ(a->layout().tables_crc, b->layout().tables_crc);  // checksums of all records among them
}

TEST_F(ShardBuilderTest, failures_leave_no_data_set) {
  Colours source(10);
  source.broken = 7;
  options_.threads = 2;
  EXPECT_THROW(build(source), Error);
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder_)) {
    EXPECT_NE(entry.path().extension(), ".h5") << entry.path();
  }
  source.broken = SIZE_MAX;
  EXPECT_EQ(build(source).records, 8U);  // what failed is not in the way
  EXPECT_THROW(build(source), Error);    // what succeeded is
  options_.folder = (folder_ / "other").string();
  options_.repeats = [](const Picture&) { return std::size_t{0}; };
  EXPECT_THROW(build(source), Error);
  options_.sizes = {8, 4};
  EXPECT_THROW(build(source), Error);
}

}  // namespace
}  // namespace tessera::datasets
