#include "comm/slice.hpp"

#include <gtest/gtest.h>

#include <cstdint>

namespace tessera::comm {
namespace {

TEST(Slice, IsTheIntegerDivisionOfTheGlobalBatch) {
  for (std::size_t b = 0; b < 70; ++b) {
    for (int w = 1; w < 9; ++w) {
      for (int r = 0; r < w; ++r) {
        const auto uw = static_cast<std::size_t>(w);
        const auto ur = static_cast<std::size_t>(r);
        EXPECT_EQ(slice_of(b, r, w), (Slice{b * ur / uw, b * (ur + 1) / uw})) << b << ' ' << r << '/' << w;
      }
    }
  }
}

TEST(Slice, CoversEverythingOnceAtGranulesThatDoNotDivideIt) {
  for (const std::size_t n : {0UL, 1UL, 15UL, 16UL, 17UL, 1000UL, 12345UL}) {
    for (int w = 1; w < 6; ++w) {
      std::size_t at = 0;
      for (int r = 0; r < w; ++r) {
        const Slice slice = slice_of(n, r, w, 16);
        EXPECT_EQ(slice.begin, at);
        EXPECT_TRUE(slice.begin % 16 == 0 || slice.begin == n);
        at = slice.end;
      }
      EXPECT_EQ(at, n);
    }
  }
}

TEST(Slice, HoldsWhereTheProductOfCountAndRankWouldOverflow) {
  const std::size_t n = SIZE_MAX - 31;
  EXPECT_EQ(slice_of(n, 0, 64).begin, 0U);
  EXPECT_EQ(slice_of(n, 63, 64).end, n);
  for (int r = 0; r < 64; ++r) {
    EXPECT_NEAR(static_cast<double>(slice_of(n, r, 64).size()), static_cast<double>(n) / 64, 1e5);
  }
}

}  // namespace
}  // namespace tessera::comm
