// The published tables to the number, their scaled kin, and which bucket a picture goes to.
#include "data/aspect_buckets.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "base/error.hpp"

namespace tessera::data {
namespace {

using testing::AllOf;
using testing::HasSubstr;

struct Published {
  double ratio;
  int height, width;
};

// recipes P.E.2: "0.25 512x2048; ..." at 1024; 512 is exactly half and 256 exactly a quarter.
constexpr Published kPublished[] = {
    {0.25, 512, 2048}, {0.26, 512, 1984}, {0.27, 512, 1920}, {0.28, 512, 1856}, {0.32, 576, 1792},
    {0.33, 576, 1728}, {0.35, 576, 1664}, {0.4, 640, 1600},  {0.42, 640, 1536}, {0.48, 704, 1472},
    {0.5, 704, 1408},  {0.52, 704, 1344}, {0.57, 768, 1344}, {0.6, 768, 1280},  {0.68, 832, 1216},
    {0.72, 832, 1152}, {0.78, 896, 1152}, {0.82, 896, 1088}, {0.88, 960, 1088}, {0.94, 960, 1024},
    {1.0, 1024, 1024}, {1.07, 1024, 960}, {1.13, 1088, 960}, {1.21, 1088, 896}, {1.29, 1152, 896},
    {1.38, 1152, 832}, {1.46, 1216, 832}, {1.67, 1280, 768}, {1.75, 1344, 768}, {2.0, 1408, 704},
    {2.09, 1472, 704}, {2.4, 1536, 640},  {2.5, 1600, 640},  {2.89, 1664, 576}, {3.0, 1728, 576},
    {3.11, 1792, 576}, {3.62, 1856, 512}, {3.75, 1920, 512}, {3.88, 1984, 512}, {4.0, 2048, 512}};

std::vector<AspectBucket> table(std::int64_t side, std::int64_t unit) {
  return aspect_buckets(std::vector{side}, unit);
}

TEST(AspectBuckets, ArePixArtsAtItsThreeSides) {
  for (const auto& [side, unit] : {std::pair{1024, 64}, {1024, 16}, {512, 32}, {512, 16}, {256, 16}}) {
    const std::vector<AspectBucket> buckets = table(side, unit);
    ASSERT_EQ(buckets.size(), 40U) << side;
    for (std::size_t k = 0; k < 40; ++k) {
      EXPECT_EQ(buckets[k].ratio, kPublished[k].ratio) << side;
      EXPECT_EQ(buckets[k].sizes[0].height, kPublished[k].height * side / 1024) << side;
      EXPECT_EQ(buckets[k].sizes[0].width, kPublished[k].width * side / 1024) << side;
    }
  }
}

TEST(AspectBuckets, SidesLieSideBySide) {
  const std::vector<AspectBucket> both = aspect_buckets(std::vector<std::int64_t>{256, 512}, 16);
  ASSERT_EQ(both.size(), 40U);
  for (std::size_t k = 0; k < 40; ++k) {
    ASSERT_EQ(both[k].sizes.size(), 2U);
    EXPECT_EQ(both[k].sizes[0], table(256, 16)[k].sizes[0]);
    EXPECT_EQ(both[k].sizes[1], table(512, 32)[k].sizes[0]);
  }
}

TEST(AspectBuckets, SmallSidesMergeWhatRoundsToOneShape) {
  // 1024 / 32 = 32: rows of the table divided by 32, rounded to multiples of the unit, halves up
  const std::vector<AspectBucket> small = table(32, 8);
  const std::vector<Published> expected{{0.25, 16, 64}, {0.29, 16, 56}, {0.5, 24, 48},  {0.6, 24, 40},
                                        {0.8, 32, 40},  {1, 32, 32},    {1.25, 40, 32}, {1.67, 40, 24},
                                        {2, 48, 24},    {3.5, 56, 16},  {4, 64, 16}};
  ASSERT_EQ(small.size(), expected.size());
  for (std::size_t k = 0; k < small.size(); ++k) {
    EXPECT_EQ(small[k].ratio, expected[k].ratio);
    EXPECT_EQ(small[k].sizes[0], (io::ImageSize{expected[k].width, expected[k].height}));
  }
}

TEST(AspectBuckets, EveryTableKeepsItsPromises) {
  for (const auto& [side, unit] : {std::pair{16, 4},
                                   {32, 4},
                                   {32, 8},
                                   {48, 4},
                                   {64, 4},
                                   {64, 8},
                                   {80, 4},
                                   {96, 32},
                                   {128, 16},
                                   {240, 16},
                                   {768, 48},
                                   {2048, 16},
                                   {8, 8}}) {
    const std::vector<AspectBucket> buckets = table(side, unit);
    std::set<std::pair<int, int>> shapes;
    std::set<double> ratios;
    for (const AspectBucket& bucket : buckets) {
      const io::ImageSize size = bucket.sizes[0];
      EXPECT_EQ(size.height % unit, 0);
      EXPECT_EQ(size.width % unit, 0);
      EXPECT_EQ(bucket.ratio, key_ratio(size.height, size.width));
      shapes.emplace(size.height, size.width);
      ratios.insert(bucket.ratio);
      // a picture in the bucket's own shape goes there
      EXPECT_EQ(&buckets[nearest_bucket(buckets, size.height, size.width)], &bucket);
      if (side >= 8 * unit) {  // rounding adds or takes half a unit at most
        EXPECT_NEAR(std::sqrt(static_cast<double>(size.height) * size.width), side, 0.06 * side + unit / 2.0);
      }
    }
    EXPECT_EQ(shapes.size(), buckets.size());
    EXPECT_EQ(ratios.size(), buckets.size());
    EXPECT_TRUE(ratios.contains(1)) << side;
    EXPECT_EQ(buckets[nearest_bucket(buckets, 1, 1)].sizes[0], (io::ImageSize{side, side}));
  }
}

TEST(AspectBuckets, NearestByAbsoluteDifferenceOfHeightOverWidth) {
  const std::vector<AspectBucket> buckets = table(1024, 64);
  const auto key = [&](double height, double width) {
    return buckets[nearest_bucket(buckets, height, width)].ratio;
  };
  for (const Published& row : kPublished) EXPECT_EQ(key(row.height, row.width), row.ratio);
  // What Python's min(keys, key=lambda k: abs(k - h / w)) says; 0.75 is as far from 0.72 as from 0.78.
  EXPECT_EQ(key(1, 100), 0.25);
  EXPECT_EQ(key(100, 1), 4.0);
  EXPECT_EQ(key(480, 640), 0.72);
  EXPECT_EQ(key(640, 480), 1.29);
  EXPECT_EQ(key(427, 640), 0.68);
  EXPECT_EQ(key(640, 427), 1.46);
  EXPECT_EQ(key(1080, 1920), 0.57);
  EXPECT_EQ(key(1920, 1080), 1.75);
  EXPECT_EQ(key(34, 10), 3.62);
  EXPECT_EQ(key(2.25, 1), 2.4);
  EXPECT_EQ(key(3, 2), 1.46);
  EXPECT_EQ(nearest_bucket(std::vector<AspectBucket>{{1, {}}, {2, {}}}, 1.5, 1), 0U);
}

TEST(AspectBuckets, KeysRoundHalvesToEven) {
  EXPECT_EQ(key_ratio(1856, 512), 3.62);  // 3.625
  EXPECT_EQ(key_ratio(1984, 512), 3.88);  // 3.875
  EXPECT_EQ(key_ratio(1, 8), 0.12);       // 0.125
  EXPECT_EQ(key_ratio(3, 8), 0.38);       // 0.375
  EXPECT_EQ(key_ratio(32, 32), 1);
  EXPECT_EQ(ratio_text(3.62), "3.62");
  EXPECT_EQ(ratio_text(1), "1");
}

TEST(AspectBuckets, RefusesSidesThatDoNotFit) {
  const auto message = [](std::int64_t side, std::int64_t unit) -> std::string {
    try {
      (void)table(side, unit);
    } catch (const Error& error) {
      EXPECT_FALSE(error.remedy().empty());
      return error.what();
    }
    return "no error was thrown";
  };
  EXPECT_THAT(message(100, 16), AllOf(HasSubstr("100"), HasSubstr("16")));
  EXPECT_THAT(message(8, 16), HasSubstr("no multiple"));
  EXPECT_THAT(message(0, 16), HasSubstr("no multiple"));
  EXPECT_THAT(message(64, 0), HasSubstr("unit of 0"));
  EXPECT_THROW((void)aspect_buckets({}, 8), Error);
}

TEST(AspectOf, ReadsWidthAndHeight) {
  EXPECT_EQ(aspect_of("2:1"), 0.5);
  EXPECT_EQ(aspect_of("1:1"), 1.0);
  EXPECT_EQ(aspect_of("9:16"), 16.0 / 9.0);
  EXPECT_EQ(aspect_of("1.5:1"), 1.0 / 1.5);
  for (const char* wrong :
       {"", "2", "2:", ":1", "2x1", "2:1 ", "0:1", "1:0", "-2:-1", "1:17", "nan:1", "wide"}) {
    EXPECT_THROW((void)aspect_of(wrong), Error) << wrong;
  }
}

}  // namespace
}  // namespace tessera::data
