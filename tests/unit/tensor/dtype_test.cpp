// bfloat16 against a search for the nearest value, and the element types' facts.
#include "tensor/dtype.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

namespace tessera {
namespace {

float from_bits(std::uint32_t bits) { return std::bit_cast<float>(bits); }

// The finite or infinite bfloat16 magnitude `index`, as a double; the infinite one counts as 2^128, the value
// that the format would continue with, as IEEE 754 rounding asks.
double magnitude(std::uint32_t index) {
  return index >= 0x7f80U ? std::ldexp(1.0, 128) : static_cast<double>(from_bits(index << 16));
}

std::uint16_t nearest(float value) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t sign = bits >> 31 << 15;
  const double size = std::fabs(static_cast<double>(value));
  if (std::isinf(value)) return static_cast<std::uint16_t>(sign | 0x7f80U);
  const std::uint32_t below = (bits & 0x7fffffffU) >> 16;
  const double down = size - magnitude(below);
  const double up = magnitude(below + 1) - size;
  const bool round_up = up < down || (up == down && below % 2 == 1);
  return static_cast<std::uint16_t>(sign | (round_up ? below + 1 : below));
}

TEST(BFloat16, RoundsToNearestEvenFromEveryUpperHalf) {
  // The rounding looks at the upper half and at where the lower half lies around one half: all upper halves,
  // and lower halves at every border and between.
  for (std::uint32_t upper = 0; upper < 65536; ++upper) {
    for (const std::uint32_t lower :
         {0x0000U, 0x0001U, 0x1234U, 0x7ffeU, 0x7fffU, 0x8000U, 0x8001U, 0x9abcU, 0xfffeU, 0xffffU}) {
      const float value = from_bits(upper << 16 | lower);
      if (std::isnan(value)) continue;
      ASSERT_EQ(bfloat16(value).bits, nearest(value)) << std::hex << (upper << 16 | lower);
    }
  }
}

TEST(BFloat16, RoundsToNearestEvenAcrossLowerHalves) {
  for (const std::uint32_t upper : {0x0000U, 0x0001U, 0x3f80U, 0x3f81U, 0x7f7fU, 0xbf80U, 0xff7fU}) {
    for (std::uint32_t lower = 0; lower < 65536; ++lower) {
      const float value = from_bits(upper << 16 | lower);
      ASSERT_EQ(bfloat16(value).bits, nearest(value)) << std::hex << (upper << 16 | lower);
    }
  }
}

TEST(BFloat16, EveryValueSurvivesTheWayToFloatAndBack) {
  for (std::uint32_t bits = 0; bits < 65536; ++bits) {
    const bfloat16 value = std::bit_cast<bfloat16>(static_cast<std::uint16_t>(bits));
    const float wide = static_cast<float>(value);
    EXPECT_EQ(static_cast<double>(value) == static_cast<double>(wide) || std::isnan(wide), true);
    if (std::isnan(wide)) {
      EXPECT_TRUE(std::isnan(static_cast<float>(bfloat16(wide))));
    } else {
      ASSERT_EQ(bfloat16(wide).bits, bits);
    }
  }
}

TEST(BFloat16, NaNStaysNaNWhateverItsPayload) {
  for (std::uint32_t payload = 1; payload < 0x800000U; payload += 127) {
    for (const std::uint32_t sign : {0U, 0x80000000U}) {
      ASSERT_TRUE(std::isnan(static_cast<float>(bfloat16(from_bits(sign | 0x7f800000U | payload)))))
          << payload;
    }
  }
}

TEST(BFloat16, OverflowsToInfinityAndKeepsSignedZero) {
  EXPECT_TRUE(std::isinf(static_cast<float>(bfloat16(std::numeric_limits<float>::max()))));
  EXPECT_EQ(static_cast<float>(bfloat16(from_bits(0x7f7f7fffU))), from_bits(0x7f7f0000U));
  EXPECT_TRUE(std::signbit(static_cast<float>(bfloat16(-0.0F))));
}

TEST(DType, SizesNamesAndTypesAgree) {
  EXPECT_EQ(size_of(dtype_of<float>), sizeof(float));
  EXPECT_EQ(size_of(dtype_of<double>), sizeof(double));
  EXPECT_EQ(size_of(dtype_of<bfloat16>), sizeof(bfloat16));
  EXPECT_EQ(size_of(dtype_of<std::int32_t>), sizeof(std::int32_t));
  EXPECT_EQ(size_of(dtype_of<std::int64_t>), sizeof(std::int64_t));
  EXPECT_EQ(size_of(dtype_of<std::uint8_t>), sizeof(std::uint8_t));
  EXPECT_STREQ(name_of(DType::bf16), "bfloat16");
  EXPECT_TRUE(is_floating(DType::f64));
  EXPECT_FALSE(is_floating(DType::i32));
  EXPECT_TRUE((std::is_same_v<arithmetic_t<bfloat16>, float>));
  EXPECT_TRUE((std::is_same_v<arithmetic_t<double>, double>));
  EXPECT_TRUE((std::is_trivially_copyable_v<bfloat16>));
}

TEST(DType, DispatchNamesTheTypeItCannotServe) {
  for (const DType type : {DType::f32, DType::f64, DType::bf16}) {
    EXPECT_EQ(dispatch_floating(type, []<class T>(T) { return dtype_of<T>; }), type);
  }
  try {
    dispatch_floating(DType::i64, [](auto) {});
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("int64"), std::string::npos);
  }
}

}  // namespace
}  // namespace tessera
