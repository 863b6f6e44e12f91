#include "base/random.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <map>
#include <numeric>
#include <set>
#include <string>

#include "base/error.hpp"
#include "tensor/space.hpp"

namespace tessera {
namespace {

const RandomStream stream(RandomKey{7, Purpose::test, 1, 2, 3});

TEST(Philox, PublishedVectors) {  // Random123 1.14, tests/kat_vectors, philox4x32 10
  const auto words = [](const PhiloxBlock& block) {
    return std::vector<std::uint32_t>(block.word, block.word + 4);
  };
  const std::uint32_t all = 0xFFFFFFFFU;
  EXPECT_EQ(words(philox({0, 0}, 0, 0, 0, 0)),
            (std::vector<std::uint32_t>{0x6627E8D5U, 0xE169C58DU, 0xBC57AC4CU, 0x9B00DBD8U}));
  EXPECT_EQ(words(philox({all, all}, all, all, all, all)),
            (std::vector<std::uint32_t>{0x408F276DU, 0x41C83B0EU, 0xA20BC7C6U, 0x6D5451FDU}));
  EXPECT_EQ(words(philox({0xA4093822U, 0x299F31D0U}, 0x243F6A88U, 0x85A308D3U, 0x13198A2EU, 0x03707344U)),
            (std::vector<std::uint32_t>{0xD16CFE09U, 0x94FDCCEBU, 0x5001E420U, 0x24126EA1U}));
}

TEST(RandomStream, EveryFieldOfTheKeyMatters) {
  std::set<std::uint64_t> seen;
  const auto add = [&](const RandomKey& key) {
    const RandomStream s(key);
    seen.insert((std::uint64_t{s.key.k1} << 32) | s.key.k0);
  };
  const RandomKey base{1, Purpose::noise, 1, 1, 1};
  add(base);
  add({2, Purpose::noise, 1, 1, 1});
  add({1 + (1ULL << 32), Purpose::noise, 1, 1, 1});
  add({1, Purpose::sigma, 1, 1, 1});
  add({1, Purpose::noise, 2, 1, 1});
  add({1, Purpose::noise, 1, 2, 1});
  add({1, Purpose::noise, 1, 1, 2});
  add({1, Purpose::noise, 1, 1, 1 + (1ULL << 32)});
  EXPECT_EQ(seen.size(), 8U);
  for (std::uint64_t step = 2; step < 100000; ++step) add({1, Purpose::noise, 1, 1, step});
  EXPECT_EQ(seen.size(), 8U + 99997U);  // step 2 was there already
}

TEST(RandomBits, ElementsAndPositionsDoNotOverlap) {
  std::set<std::uint32_t> seen;
  constexpr std::uint64_t big = 1ULL << 32;
  for (const std::uint64_t position : {std::uint64_t{0}, std::uint64_t{1}, big})
    for (std::uint64_t element = 0; element < 1000; ++element) {
      seen.insert(random_bits(stream, position, element));
      seen.insert(random_bits(stream, position, element + (big << 4)));
      seen.insert(static_cast<std::uint32_t>(random_bits64(stream, position, element)));
      seen.insert(static_cast<std::uint32_t>(random_bits64(stream, position, element) >> 32));
    }
  EXPECT_GE(seen.size(), 12000U - 2);  // a chance collision of 32-bit words has probability 0.02
}

TEST(RandomBits, UniformsFillTheirInterval) {
  constexpr std::size_t count = 1U << 20, bins = 1024;
  std::vector<float> draws(count);
  fill_uniform01(stream, 5, 0, draws.data(), count);
  std::vector<double> single(bins), wide(bins);
  for (std::size_t i = 0; i < count; ++i) {
    const double d = uniform01_double(stream, 5, i);
    ASSERT_TRUE(draws[i] >= 0 && draws[i] < 1 && d >= 0 && d < 1);
    single[static_cast<std::size_t>(draws[i] * bins)] += 1;
    wide[static_cast<std::size_t>(d * bins)] += 1;
  }
  for (const auto& histogram : {single, wide}) {
    double chi2 = 0;
    for (const double n : histogram) chi2 += (n - 1024) * (n - 1024) / 1024;
    EXPECT_NEAR(chi2, 1023, 5 * 45.2);  // five standard deviations, sqrt(2 * 1023)
  }
  EXPECT_EQ(uniform_from_bits(0xFFFFFFFFU), 1.0F - 0x1p-24F);
  EXPECT_EQ(uniform_from_bits(0), 0.0F);
}

TEST(RandomBits, NeighboursAreUncorrelated) {
  constexpr std::size_t count = 1U << 18;
  for (const std::uint64_t lag : {1U, 2U, 3U, 4U, 16U, 32U, 64U}) {
    double elements = 0, positions = 0, steps = 0;
    for (std::uint64_t i = 0; i < count; ++i) {
      const double x = uniform01(stream, 0, i) - 0.5;
      elements += x * (uniform01(stream, 0, i + lag) - 0.5);
      positions += x * (uniform01(stream, lag, i) - 0.5);
      steps += x * (uniform01(RandomKey{7, Purpose::test, 1, 2, 3 + lag}, 0, i) - 0.5);
    }
    const double limit = 5 / 12.0 / std::sqrt(static_cast<double>(count));
    EXPECT_LT(std::abs(elements / count), limit) << lag;
    EXPECT_LT(std::abs(positions / count), limit) << lag;
    EXPECT_LT(std::abs(steps / count), limit) << lag;
  }
}

TEST(FillNormal, EqualsTheSingleDrawsWhereverItStarts) {
  for (const std::uint64_t first : {0ULL, 1ULL, 63ULL, 64ULL, 100ULL, (1ULL << 36) - 5}) {
    for (const std::size_t count : {0UL, 1UL, 63UL, 64UL, 65UL, 300UL}) {
      std::vector<float> draws(count + 1, -1), uniforms(count + 1, -1);
      fill_normal(stream, 9, first, draws.data(), count);
      fill_uniform01(stream, 9, first, uniforms.data(), count);
      for (std::size_t i = 0; i < count; ++i) {
        ASSERT_EQ(draws[i], normal(stream, 9, first + i)) << first << " " << i;
        ASSERT_EQ(uniforms[i], uniform01(stream, 9, first + i));
      }
      EXPECT_EQ(draws[count], -1.0F);  // nothing past the end
      EXPECT_EQ(uniforms[count], -1.0F);
    }
  }
}

/// A function of its own: nvcc takes no device lambda inside a test's private member.
std::vector<float> normals_of_a_kernel(const RandomStream& from, std::uint64_t position, std::size_t count) {
  Kokkos::View<float*> device("draws", count);
  float* const out = device.data();
  const RandomStream captured = from;
  Kokkos::parallel_for(
      count, KOKKOS_LAMBDA(const std::size_t i) { out[i] = normal(captured, position, i); });
  const auto host = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), device);
  return {host.data(), host.data() + count};
}

TEST(FillNormal, EqualsAKernel) {
  constexpr std::size_t count = 1000;
  std::vector<float> expected(count);
  fill_normal(stream, 4, 0, expected.data(), count);
  EXPECT_EQ(normals_of_a_kernel(stream, 4, count), expected);
}

TEST(RandomBelow, StaysBelowAndIsEven) {
  std::array<double, 7> counts{};
  for (std::uint64_t i = 0; i < 70000; ++i) counts.at(random_below(stream, 0, i, 7)) += 1;
  double chi2 = 0;
  for (const double n : counts) chi2 += (n - 10000) * (n - 10000) / 10000;
  EXPECT_LT(chi2, 30);  // 6 degrees of freedom: probability 4e-5
  for (std::uint64_t i = 0; i < 1000; ++i) {
    EXPECT_EQ(random_below(stream, 0, i, 1), 0U);
    EXPECT_EQ(random_below(stream, 0, i, 1ULL << 63), random_bits64(stream, 0, i) >> 1);
    EXPECT_EQ(random_below(stream, 0, i, 1ULL << 20), random_bits64(stream, 0, i) >> 44);
  }
}

TEST(RandomOrder, IsAStableSortOfTheBits) {
  const std::size_t count = 5000;
  std::vector<std::uint32_t> expected(count);
  std::iota(expected.begin(), expected.end(), 0U);
  std::stable_sort(expected.begin(), expected.end(), [](std::uint32_t a, std::uint32_t b) {
    return random_bits(stream, 3, a) < random_bits(stream, 3, b);
  });
  EXPECT_EQ(random_order(stream, 3, count), expected);
  EXPECT_TRUE(random_order(stream, 3, 0).empty());
}

TEST(RandomOrder, AllOrdersAreEquallyLikely) {
  std::map<std::vector<std::uint32_t>, double> counts;
  for (std::uint64_t position = 0; position < 24000; ++position)
    counts[random_order(stream, position, 4)] += 1;
  ASSERT_EQ(counts.size(), 24U);
  double chi2 = 0;
  for (const auto& entry : counts) chi2 += (entry.second - 1000) * (entry.second - 1000) / 1000;
  EXPECT_LT(chi2, 60);  // 23 degrees of freedom: probability 4e-5
}

}  // namespace
}  // namespace tessera
