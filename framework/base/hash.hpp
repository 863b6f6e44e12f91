#pragma once
// Invariant: the same bytes give the same number on every machine; both hashes are written into files.

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace tessera {

/// CRC32C (Castagnoli, RFC 3720 B.4) of `size` bytes; pass the CRC of the bytes before them to continue.
/// Uses the processor's CRC instruction where there is one.
[[nodiscard]] std::uint32_t crc32c(const void* data, std::size_t size, std::uint32_t before = 0);

/// The CRC32C of A followed by B, from the CRCs of both and the size of B in bytes.
[[nodiscard]] std::uint32_t crc32c_combine(std::uint32_t crc_a, std::uint32_t crc_b, std::uint64_t size_b);

/// The table-driven path of crc32c, for machines without the instruction and for tests.
[[nodiscard]] std::uint32_t crc32c_portable(const void* data, std::size_t size, std::uint32_t before = 0);

/// FNV-1a, 64 bits. Not for hostile input.
[[nodiscard]] constexpr std::uint64_t hash_text(std::string_view text) {
  std::uint64_t hash = 0xcbf29ce484222325ULL;
  for (const char letter : text) {
    hash ^= static_cast<unsigned char>(letter);
    hash *= 0x100000001b3ULL;
  }
  return hash;
}

}  // namespace tessera
