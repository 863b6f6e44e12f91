// float16 against arithmetic on its definition: sign, 5 exponent bits (bias 15), 10 mantissa bits.
#include "data/half.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

namespace tessera::data {
namespace {

double value_by_definition(std::uint16_t bits) {
  const int exponent = (bits >> 10) & 31;
  const double mantissa = bits & 1023;
  const double magnitude =
      exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024 + mantissa, exponent - 25);
  return (bits & 0x8000) != 0 ? -magnitude : magnitude;
}

TEST(Half, EveryFiniteValueReadsAndWritesBack) {
  for (std::uint32_t bits = 0; bits < 65536; ++bits) {
    const auto half = static_cast<std::uint16_t>(bits);
    if ((half & 0x7c00) == 0x7c00) continue;
    EXPECT_EQ(float_from_half(half), value_by_definition(half)) << bits;
    EXPECT_EQ(half_from_float(float_from_half(half)), half) << bits;
  }
}

TEST(Half, RoundsToNearestTiesToEven) {
  // Between neighbouring halves: below the middle, the middle, above it.
  for (std::uint32_t bits = 0; bits < 0x7bff; ++bits) {
    const auto half = static_cast<std::uint16_t>(bits);
    const auto middle = static_cast<float>(
        (value_by_definition(half) + value_by_definition(static_cast<std::uint16_t>(half + 1))) / 2);
    const auto even = static_cast<std::uint16_t>((bits & 1) != 0 ? bits + 1 : bits);
    EXPECT_EQ(half_from_float(middle), even) << bits;
    EXPECT_EQ(half_from_float(std::nextafter(middle, 0.0F)), half) << bits;
    EXPECT_EQ(half_from_float(std::nextafter(middle, 1e9F)), half + 1) << bits;
    EXPECT_EQ(half_from_float(-middle), even | 0x8000) << bits;
  }
  EXPECT_EQ(half_from_float(65519.996F), 0x7bff);
  EXPECT_EQ(half_from_float(65520.0F), 0x7c00);
  EXPECT_EQ(half_from_float(-1e30F), 0xfc00);
}

TEST(Half, RowsEqualSingles) {
  std::vector<std::uint16_t> all(65536 + 5), back(all.size());
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = static_cast<std::uint16_t>(i);
  std::vector<float> values(all.size());
  float_from_half(all.data(), values.data(), all.size());
  half_from_float(values.data(), back.data(), values.size());
  for (std::size_t i = 0; i < all.size(); ++i) {
    const float single = float_from_half(all[i]);
    EXPECT_EQ(std::memcmp(&single, &values[i], sizeof(single)), 0) << i;
    EXPECT_EQ(half_from_float(values[i]), back[i]) << i;
  }
}

TEST(Half, FindsWhatIsNotFinite) {
  for (const std::uint16_t bad : {0x7c00, 0xfc00, 0x7c01, 0xffff, 0x7e00}) {
    std::vector<std::uint16_t> halves(100, 0x7bff);
    EXPECT_TRUE(all_finite(halves.data(), halves.size()));
    halves[77] = bad;
    EXPECT_FALSE(all_finite(halves.data(), halves.size()));
  }
  for (const float bad : {INFINITY, -INFINITY, std::numeric_limits<float>::quiet_NaN()}) {
    std::vector<float> values(100, std::numeric_limits<float>::max());
    EXPECT_TRUE(all_finite(values.data(), values.size()));
    values[99] = bad;
    EXPECT_FALSE(all_finite(values.data(), values.size()));
  }
}

}  // namespace
}  // namespace tessera::data
