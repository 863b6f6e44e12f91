#include "base/hash.hpp"

#include <array>
#include <cstring>

namespace tessera {
namespace {

// CRCs are polynomials over GF(2) with the bits reversed: bit 31 is the coefficient of x^0.
constexpr std::uint32_t polynomial = 0x82F63B78U;
constexpr std::uint32_t one = 0x80000000U;

constexpr std::uint32_t times_x(std::uint32_t a) { return (a >> 1) ^ ((a & 1) ? polynomial : 0); }

constexpr std::uint32_t multiply(std::uint32_t a, std::uint32_t b) {
  std::uint32_t product = 0;
  for (std::uint32_t bit = one; bit != 0; bit >>= 1) {
    if (a & bit) product ^= b;
    b = times_x(b);
  }
  return product;
}

/// x^(8 bytes): multiplying a CRC by it appends that many zero bytes.
constexpr std::uint32_t zeros(std::uint64_t bytes) {
  std::uint32_t power = one >> 8, result = one;
  for (; bytes != 0; bytes >>= 1) {
    if (bytes & 1) result = multiply(result, power);
    power = multiply(power, power);
  }
  return result;
}

using Tables = std::array<std::array<std::uint32_t, 256>, 8>;

/// slices[k][b]: what byte b contributes when k bytes follow it in the same 8.
Tables make_slices() {
  Tables slices{};
  for (std::uint32_t b = 0; b < 256; ++b) {
    std::uint32_t crc = b;
    for (int bit = 0; bit < 8; ++bit) crc = times_x(crc);
    for (auto& slice : slices) {
      slice[b] = crc;
      for (int bit = 0; bit < 8; ++bit) crc = times_x(crc);
    }
  }
  return slices;
}

std::uint64_t load8(const unsigned char* bytes) {
  std::uint64_t word = 0;
  std::memcpy(&word, bytes, sizeof word);
  return word;
}

#if defined(__x86_64__)

/// The instruction takes 3 cycles and one can start in each: three streams of this many bytes run at once.
constexpr std::size_t stream = 1024;

using Shift = std::array<std::array<std::uint32_t, 256>, 4>;

Shift make_shift() {
  Shift shift{};
  constexpr std::uint32_t factor = zeros(stream);
  for (std::uint32_t k = 0; k < 4; ++k)
    for (std::uint32_t b = 0; b < 256; ++b) shift[k][b] = multiply(b << (8 * k), factor);
  return shift;
}

std::uint32_t shifted(const Shift& shift, std::uint64_t crc) {
  return shift[0][crc & 255] ^ shift[1][(crc >> 8) & 255] ^ shift[2][(crc >> 16) & 255] ^
         shift[3][(crc >> 24) & 255];
}

__attribute__((target("sse4.2"))) std::uint32_t with_instruction(const unsigned char* bytes, std::size_t size,
                                                                 std::uint32_t before) {
  static const Shift shift = make_shift();
  std::uint64_t crc = ~before;
  for (; size >= 3 * stream; size -= 3 * stream, bytes += 3 * stream) {
    std::uint64_t second = 0, third = 0;
    for (std::size_t i = 0; i < stream; i += 8) {
      crc = __builtin_ia32_crc32di(crc, load8(bytes + i));
      second = __builtin_ia32_crc32di(second, load8(bytes + stream + i));
      third = __builtin_ia32_crc32di(third, load8(bytes + 2 * stream + i));
    }
    crc = shifted(shift, shifted(shift, crc) ^ second) ^ third;
  }
  for (; size >= 8; size -= 8, bytes += 8) crc = __builtin_ia32_crc32di(crc, load8(bytes));
  auto narrow = static_cast<std::uint32_t>(crc);
  for (; size > 0; --size, ++bytes) narrow = __builtin_ia32_crc32qi(narrow, *bytes);
  return ~narrow;
}

#endif

}  // namespace

std::uint32_t crc32c_portable(const void* data, std::size_t size, std::uint32_t before) {
  static const Tables slices = make_slices();
  const auto* bytes = static_cast<const unsigned char*>(data);
  std::uint32_t crc = ~before;
  for (; size >= 8; size -= 8, bytes += 8) {
    std::uint32_t sum = 0;
    for (std::size_t k = 0; k < 8; ++k) {
      const std::uint32_t mixed = k < 4 ? bytes[k] ^ ((crc >> (8 * k)) & 255) : bytes[k];
      sum ^= slices[7 - k][mixed];
    }
    crc = sum;
  }
  for (; size > 0; --size, ++bytes) crc = (crc >> 8) ^ slices[0][(crc ^ *bytes) & 255];
  return ~crc;
}

std::uint32_t crc32c(const void* data, std::size_t size, std::uint32_t before) {
#if defined(__x86_64__)
  static const bool fast = __builtin_cpu_supports("sse4.2") != 0;
  if (fast) return with_instruction(static_cast<const unsigned char*>(data), size, before);
#endif
  return crc32c_portable(data, size, before);
}

std::uint32_t crc32c_combine(std::uint32_t crc_a, std::uint32_t crc_b, std::uint64_t size_b) {
  return multiply(crc_a, zeros(size_b)) ^ crc_b;
}

}  // namespace tessera
