// The normal draws: accuracy against the quantile in long double, the shape of large samples, and the bits.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "base/random.hpp"

namespace tessera {
namespace random_variants {  // normal_from_bits compiled under other rules: random_variant_*.cpp
float without_fma(std::uint32_t bits);
float without_contraction(std::uint32_t bits);
float scalar_and_unoptimised(std::uint32_t bits);
}  // namespace random_variants

namespace {

const RandomStream stream(RandomKey{11, Purpose::noise, 0, 0, 0});

/// How far x is from the quantile of (bits + 1/2) 2^-32, relative to the quantile: one Newton step in long
/// double. The error of the step itself is quadratically small.
long double relative_error(std::uint32_t bits, float x) {
  const bool upper = bits >= 0x80000000U;
  const long double k = upper ? ~bits : bits;
  const long double magnitude = std::abs(static_cast<long double>(x));
  const long double root2 = std::sqrt(2.0L);
  const long double density = std::exp(-magnitude * magnitude / 2) / std::sqrt(2 * std::acos(-1.0L));
  // from the middle where the tail would cancel, from the tail elsewhere
  const long double tail = (k + 0.5L) * 0x1p-32L;
  const long double excess = magnitude < 0.5L
                                 ? std::erf(magnitude / root2) / 2 - (0x80000000U - k - 0.5L) * 0x1p-32L
                                 : tail - std::erfc(magnitude / root2) / 2;
  return std::abs(excess / density / magnitude);
}

/// Both ends, the middle, and an even spread: about 400,000 of the 2^32 arguments.
template <class Visit>
void for_many_bits(const Visit& visit) {
  for (std::uint32_t i = 0; i < 70000; ++i) {
    visit(i);
    visit(~i);
    visit(0x80000000U + i);
    visit(0x7FFFFFFFU - i);
    visit(i * 61357U);
    visit(random_bits(stream, 99, i) >> (i % 32));
  }
}

TEST(Normal, MatchesTheQuantile) {
  long double worst = 0;
  for_many_bits(
      [&](std::uint32_t bits) { worst = std::max(worst, relative_error(bits, normal_from_bits(bits))); });
  RecordProperty("worst_relative_error", std::to_string(static_cast<double>(worst)));
  EXPECT_LT(worst, 4e-7L);
}

TEST(Normal, IsOddMonotoneAndBounded) {
  EXPECT_NEAR(normal_from_bits(0), -6.3384, 1e-3);
  float before = normal_from_bits(0);
  for (std::uint64_t bits = 0; bits < 1ULL << 32; bits += 9973) {
    const auto b = static_cast<std::uint32_t>(bits);
    const float x = normal_from_bits(b);
    ASSERT_EQ(normal_from_bits(~b), -x);
    ASSERT_GE(x, before) << bits;
    before = x;
  }
}

TEST(Normal, LargeSamplesHaveTheRightShape) {
  constexpr std::size_t count = 1U << 22;
  std::vector<float> x(count);
  fill_normal(stream, 0, 0, x.data(), count);
  double m1 = 0, m2 = 0, m3 = 0, m4 = 0;
  std::size_t beyond3 = 0, beyond4 = 0;
  for (const float draw : x) {
    const double d = draw;
    m1 += d;
    m2 += d * d;
    m3 += d * d * d;
    m4 += d * d * d * d;
    beyond3 += std::abs(d) > 3;
    beyond4 += std::abs(d) > 4;
  }
  const double n = count, root = std::sqrt(n);
  EXPECT_NEAR(m1 / n, 0, 4 / root);
  EXPECT_NEAR(m2 / n, 1, 4 * std::sqrt(2.0) / root);
  EXPECT_NEAR(m3 / n, 0, 4 * std::sqrt(15.0) / root);
  EXPECT_NEAR(m4 / n, 3, 4 * std::sqrt(96.0) / root);
  const double expect3 = n * std::erfc(3 / std::sqrt(2.0)), expect4 = n * std::erfc(4 / std::sqrt(2.0));
  EXPECT_NEAR(static_cast<double>(beyond3), expect3, 4 * std::sqrt(expect3));
  EXPECT_NEAR(static_cast<double>(beyond4), expect4, 4 * std::sqrt(expect4));

  std::sort(x.begin(), x.end());  // Kolmogorov-Smirnov
  double distance = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const double cdf = 0.5 * std::erfc(-x[i] / std::sqrt(2.0));
    const auto rank = static_cast<double>(i);
    distance = std::max({distance, cdf - rank / n, (rank + 1) / n - cdf});
  }
  EXPECT_LT(distance * root, 1.95);  // probability 0.001
}

TEST(Normal, BitsDoNotDependOnHowTheyAreCompiled) {
  for_many_bits([](std::uint32_t bits) {
    const std::uint32_t expected = detail::float_bits(normal_from_bits(bits));
    ASSERT_EQ(detail::float_bits(random_variants::without_fma(bits)), expected) << bits;
    ASSERT_EQ(detail::float_bits(random_variants::without_contraction(bits)), expected) << bits;
    ASSERT_EQ(detail::float_bits(random_variants::scalar_and_unoptimised(bits)), expected) << bits;
  });
}

TEST(Normal, BitsAreThoseOfEveryOtherMachine) {
  // recorded once; identical from g++ 12 and clang 14 for x86-64, Haswell and AVX-512, -O0 to -O3
  std::vector<float> x(1U << 16);
  fill_normal(stream, 7, 0, x.data(), x.size());
  std::uint32_t hash = 0;
  for (const float draw : x) hash = hash * 31 + detail::float_bits(draw);
  EXPECT_EQ(hash, 1005266650U);
}

TEST(Normal, CannotBeContractedWithTheCallersSum) {
  constexpr std::uint32_t count = 100000;
  std::vector<float> sums(count);
  float* const out = sums.data();
  for (std::uint32_t i = 0; i < count; ++i) out[i] = normal_from_bits(i * 42949U) + 0.1F;
  for (std::uint32_t i = 0; i < count; ++i)  // a call that is not inlined returns a finished float
    ASSERT_EQ(sums[i], random_variants::without_contraction(i * 42949U) + 0.1F) << i;
}

}  // namespace
}  // namespace tessera
