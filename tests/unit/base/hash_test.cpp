#include "base/hash.hpp"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

namespace tessera {
namespace {

std::vector<unsigned char> random_bytes(std::size_t count) {
  std::mt19937 generator(5);
  std::vector<unsigned char> bytes(count);
  for (auto& byte : bytes) byte = static_cast<unsigned char>(generator());
  return bytes;
}

/// Bit by bit, straight from the definition.
std::uint32_t slow_crc(const std::vector<unsigned char>& bytes) {
  std::uint32_t crc = ~0U;
  for (const unsigned char byte : bytes) {
    crc ^= byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) ? 0x82F63B78U : 0U);
  }
  return ~crc;
}

TEST(Crc32c, KnownVectors) {  // RFC 3720, appendix B.4, and the check value of the CRC catalogue
  const std::vector<unsigned char> zeros(32, 0), ones(32, 0xFF);
  std::vector<unsigned char> up(32), down(32);
  for (std::size_t i = 0; i < 32; ++i) {
    up[i] = static_cast<unsigned char>(i);
    down[i] = static_cast<unsigned char>(31 - i);
  }
  for (const auto crc : {&crc32c, &crc32c_portable}) {
    EXPECT_EQ(crc(zeros.data(), 32, 0), 0x8A9136AAU);
    EXPECT_EQ(crc(ones.data(), 32, 0), 0x62A8AB43U);
    EXPECT_EQ(crc(up.data(), 32, 0), 0x46DD794EU);
    EXPECT_EQ(crc(down.data(), 32, 0), 0x113FDB5CU);
    EXPECT_EQ(crc("123456789", 9, 0), 0xE3069283U);
    EXPECT_EQ(crc("", 0, 0), 0U);
  }
}

TEST(Crc32c, BothPathsMatchTheDefinitionAtEverySizeAndAlignment) {
  for (const std::size_t size : {1UL, 7UL, 8UL, 63UL, 1024UL, 3071UL, 3072UL, 3073UL, 6144UL, 9999UL}) {
    std::vector<unsigned char> bytes = random_bytes(size + 8);
    for (std::size_t start = 0; start < 8; start += 3) {
      const std::vector<unsigned char> part(bytes.begin() + static_cast<std::ptrdiff_t>(start),
                                            bytes.begin() + static_cast<std::ptrdiff_t>(start + size));
      const std::uint32_t expected = slow_crc(part);
      EXPECT_EQ(crc32c(bytes.data() + start, size), expected) << size;
      EXPECT_EQ(crc32c_portable(bytes.data() + start, size), expected) << size;
    }
  }
}

TEST(Crc32c, ContinuesAndCombines) {
  const std::vector<unsigned char> bytes = random_bytes(20000);
  const std::uint32_t whole = crc32c(bytes.data(), bytes.size());
  for (const std::size_t cut : {0UL, 1UL, 5000UL, 19999UL, 20000UL}) {
    const std::uint32_t first = crc32c(bytes.data(), cut);
    const std::uint32_t second = crc32c(bytes.data() + cut, bytes.size() - cut);
    EXPECT_EQ(crc32c(bytes.data() + cut, bytes.size() - cut, first), whole);
    EXPECT_EQ(crc32c_combine(first, second, bytes.size() - cut), whole);
  }
}

TEST(Crc32c, SeesEverySingleFlippedBit) {
  std::vector<unsigned char> bytes = random_bytes(100);
  const std::uint32_t clean = crc32c(bytes.data(), bytes.size());
  for (std::size_t bit = 0; bit < 800; ++bit) {
    bytes[bit / 8] ^= static_cast<unsigned char>(1U << (bit % 8));
    EXPECT_NE(crc32c(bytes.data(), bytes.size()), clean);
    bytes[bit / 8] ^= static_cast<unsigned char>(1U << (bit % 8));
  }
}

TEST(HashText, PublishedFnv1aVectors) {
  EXPECT_EQ(hash_text(""), 0xCBF29CE484222325ULL);
  EXPECT_EQ(hash_text("a"), 0xAF63DC4C8601EC8CULL);
  EXPECT_EQ(hash_text("foobar"), 0x85944171F73967E8ULL);
  static_assert(hash_text("b") == 0xAF63DF4C8601F1A5ULL);
}

}  // namespace
}  // namespace tessera
