#include "io/resize.hpp"

#include <gtest/gtest.h>

#include "base/error.hpp"
#include "picture_files.hpp"

namespace tessera::io {
namespace {

TEST(Resize, equals_pillow_in_every_bit) {
  const Image source = read_png(data_file("source_23x17.png"));
  const std::pair<const char*, Filter> filters[] = {
      {"box", Filter::box}, {"bilinear", Filter::bilinear}, {"bicubic", Filter::bicubic}};
  for (const auto& [name, filter] : filters) {
    EXPECT_EQ(resize(source, 9, 5, filter), read_png(data_file(std::string(name) + "_9x5.png"))) << name;
    EXPECT_EQ(resize(source, 31, 40, filter), read_png(data_file(std::string(name) + "_31x40.png"))) << name;
  }
}

TEST(Resize, equals_pillow_on_larger_pictures) {
  const struct {
    Filter filter;
    int width, height;
    std::uint64_t hash;
  } cases[] = {
      {Filter::box, 64, 64, 0x49289fb293c09f1du},       {Filter::box, 63, 201, 0x575a4463c5c7d215u},
      {Filter::box, 400, 300, 0xbf7f4a8afc1de5f2u},     {Filter::bilinear, 64, 64, 0x65c98ed81aa5b40cu},
      {Filter::bilinear, 63, 201, 0xbac012b4cdee3425u}, {Filter::bilinear, 400, 300, 0xbda8efd4900c1db3u},
      {Filter::bicubic, 64, 64, 0xf60695d57314ef4au},   {Filter::bicubic, 63, 201, 0x49a98d65aa0e207cu},
      {Filter::bicubic, 400, 300, 0xe1e4277229ec1017u},
  };
  const Image source = noise(320, 203, 7);
  for (const auto& c : cases)
    EXPECT_EQ(hash_of(resize(source, c.width, c.height, c.filter)), c.hash) << c.width << " x " << c.height;
}

TEST(Resize, keeps_a_flat_picture_flat) {
  const Image flat(37, 11, {13, 200, 77});
  for (const Filter filter : {Filter::box, Filter::bilinear, Filter::bicubic})
    EXPECT_EQ(resize(flat, 16, 40, filter), Image(16, 40, {13, 200, 77}));
}

TEST(Resize, cover_rule_truncates_the_other_side) {
  // squares: the short side fits
  EXPECT_EQ(cover_size({640, 427}, {256, 256}), (ImageSize{383, 256}));
  EXPECT_EQ(cover_size({427, 640}, {256, 256}), (ImageSize{256, 383}));
  EXPECT_EQ(cover_size({333, 500}, {256, 256}), (ImageSize{256, 384}));
  EXPECT_EQ(cover_size({1000, 37}, {256, 256}), (ImageSize{6918, 256}));
  EXPECT_EQ(cover_size({100, 100}, {256, 256}), (ImageSize{256, 256}));
  // other shapes: the side that needs the larger factor fits, be it the longer one
  EXPECT_EQ(cover_size({640, 427}, {304, 208}), (ImageSize{311, 208}));
  EXPECT_EQ(cover_size({640, 427}, {320, 192}), (ImageSize{320, 213}));
  EXPECT_EQ(cover_size({300, 600}, {32, 64}), (ImageSize{32, 64}));
  EXPECT_THROW(cover_size({100, 100}, {0, 8}), Error);
  EXPECT_THROW(cover_size({100, 0}, {8, 8}), Error);
}

TEST(Resize, cover_never_leaves_a_gap) {
  for (int w = 1; w <= 40; ++w)
    for (int h = 1; h <= 40; ++h)
      for (const ImageSize target : {ImageSize{16, 16}, ImageSize{8, 32}, ImageSize{31, 9}}) {
        const ImageSize size = cover_size({w, h}, target);
        ASSERT_GE(size.width, target.width);
        ASSERT_GE(size.height, target.height);
        ASSERT_TRUE(size.width == target.width || size.height == target.height);
      }
}

TEST(Resize, covered_buckets_equal_pillow_in_every_bit) {
  // Pillow 13.0: resize((w, h), BICUBIC), then crop() with Python's round() for the offsets.
  const struct {
    ImageSize target;
    std::uint64_t hash;
  } cases[] = {
      {{56, 24}, 0x9381e936302a8bb2u},    // through 56 x 35
      {{24, 56}, 0xdbfa6944b2d7b3d9u},    // through 88 x 56
      {{44, 24}, 0xd720141dbd1364ecu},    // through 44 x 27
      {{64, 64}, 0x09624aa622809211u},    // through 100 x 64
      {{176, 88}, 0x7be4f74352a6fbd7u},   // through 176 x 111
      {{304, 208}, 0x6f3c7e772dfcf201u},  // through 327 x 208
      {{208, 304}, 0x59422d1caa219b81u},  // through 479 x 304
      {{352, 176}, 0x9a30c0ec2f2042c0u},  // through 352 x 223
      {{248, 176}, 0x2e52a07a4ee20572u},  // through 277 x 176
      {{496, 128}, 0x2ddd80dd37c9dc2eu},  // through 496 x 314
  };
  const Image source = noise(320, 203, 7);
  for (const auto& c : cases)
    EXPECT_EQ(hash_of(resize_and_crop(source, c.target)), c.hash)
        << c.target.width << " x " << c.target.height;
}

TEST(Resize, crop_offset_rounds_halves_to_even) {
  EXPECT_EQ(centre_crop_offset(5, 2), 2);   // 1.5
  EXPECT_EQ(centre_crop_offset(7, 2), 2);   // 2.5
  EXPECT_EQ(centre_crop_offset(9, 4), 2);   // 2.5
  EXPECT_EQ(centre_crop_offset(11, 4), 4);  // 3.5
  EXPECT_EQ(centre_crop_offset(10, 4), 3);
  EXPECT_EQ(centre_crop_offset(8, 8), 0);
  EXPECT_EQ(centre_crop_offset(383, 256), 64);  // 63.5
  EXPECT_EQ(centre_crop_offset(385, 256), 64);  // 64.5
}

TEST(Resize, crop_takes_the_middle) {
  const Image source = noise(7, 6, 5);
  const Image crop = centre_crop(source, 2, 3);
  ASSERT_EQ(crop.size(), (ImageSize{2, 3}));
  for (int y = 0; y < 3; ++y)
    for (int x = 0; x < 2; ++x)
      for (int c = 0; c < 3; ++c) EXPECT_EQ(crop.at(x, y)[c], source.at(x + 2, y + 2)[c]);
  EXPECT_THROW(centre_crop(source, 8, 2), Error);
  EXPECT_EQ(resize_and_crop(noise(50, 31, 2), {16, 16}).size(), (ImageSize{16, 16}));
}

TEST(Resize, refuses_empty_pictures_and_sides) {
  EXPECT_THROW(resize(Image(), 4, 4, Filter::box), Error);
  EXPECT_THROW(resize(Image(4, 4), 0, 4, Filter::box), Error);
  EXPECT_THROW(magnify(Image(4, 4), 0), Error);
}

TEST(Resize, magnify_repeats_pixels) {
  const Image source = noise(3, 2, 9);
  const Image large = magnify(source, 4);
  ASSERT_EQ(large.size(), (ImageSize{12, 8}));
  for (int y = 0; y < 8; ++y)
    for (int x = 0; x < 12; ++x) EXPECT_EQ(large.at(x, y)[1], source.at(x / 4, y / 4)[1]);
}

}  // namespace
}  // namespace tessera::io
