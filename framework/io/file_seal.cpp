#include "io/file_seal.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "base/hash.hpp"

namespace tessera::io {
namespace {

static_assert(std::endian::native == std::endian::little, "the seal is written as it lies in memory");

constexpr std::array<char, 8> kMagic{'T', 'E', 'S', 'S', 'E', 'A', 'L', '\n'};
constexpr std::uint32_t kVersion = 1;
constexpr std::uint64_t kSmallestSeal = 4096;  // a page, so that data sets may start on pages
constexpr std::uint64_t kLargestSeal = std::uint64_t{1} << 30;

struct SealHeader {
  std::array<char, 8> magic = kMagic;
  std::uint32_t version = kVersion;
  std::uint32_t extents = 0;
  std::uint64_t user_block = 0;
  std::uint64_t file_bytes = 0;
  std::uint32_t crc_of_rest = 0;
  std::uint32_t zero = 0;
};
static_assert(sizeof(SealHeader) == 40 && sizeof(Extent) == 16);

std::uint64_t used_bytes(std::uint64_t extents) {
  return sizeof(SealHeader) + extents * sizeof(Extent) + sizeof(std::uint32_t);
}

// CRC32C of the bytes from `begin` on that lie in no extent; the extents are sorted.
std::uint32_t crc_outside(const File& file, std::uint64_t begin, std::uint64_t end,
                          std::span<const Extent> extents) {
  std::vector<char> buffer(std::size_t{1} << 18);
  std::uint32_t crc = 0;
  std::uint64_t at = begin;
  const auto cover = [&](std::uint64_t until) {
    while (at < until) {
      const auto piece = static_cast<std::size_t>(std::min<std::uint64_t>(until - at, buffer.size()));
      file.read_at(buffer.data(), piece, at);
      crc = crc32c(buffer.data(), piece, crc);
      at += piece;
    }
  };
  for (const Extent& extent : extents) {
    cover(extent.offset);
    at = extent.offset + extent.bytes;
  }
  cover(end);
  return crc;
}

// True when the extents are sorted, disjoint and inside [begin, end).
bool well_placed(std::span<const Extent> extents, std::uint64_t begin, std::uint64_t end) {
  std::uint64_t at = begin;
  for (const Extent& extent : extents) {
    if (extent.offset < at || extent.offset > end || extent.bytes > end - extent.offset) return false;
    at = extent.offset + extent.bytes;
  }
  return at <= end;
}

Error damaged(const std::string& path, const std::string& kind, const std::string& what) {
  return Error("this " + kind + " " + what, path,
               "Copy the " + kind + " from where it was made, or make it again.");
}

// The first part of a seal, plausible in itself.
SealHeader read_seal_header(const File& file, const std::string& kind) {
  const std::uint64_t file_bytes = file.size();
  const std::string& path = file.path();
  SealHeader header;
  if (file_bytes < sizeof(SealHeader)) {
    throw damaged(path, kind, "is truncated: it has only " + std::to_string(file_bytes) + " bytes.");
  }
  file.read_at(&header, sizeof(header), 0);
  if (header.magic != kMagic) {
    throw Error("this file is not a Tessera " + kind + ": its seal is missing.", path,
                "Name a " + kind + " that Tessera wrote.");
  }
  if (header.version != kVersion) {
    throw Error("this " + kind + " has a seal of version " + std::to_string(header.version) +
                    ", but this program knows version " + std::to_string(kVersion) + ".",
                path, "Read it with the release of Tessera that wrote it, or make it again.");
  }
  if (used_bytes(header.extents) > header.user_block ||
      header.user_block > std::min(file_bytes, kLargestSeal)) {
    throw damaged(path, kind, "is truncated or its seal is damaged.");
  }
  return header;
}

}  // namespace

std::uint64_t seal_bytes(std::size_t extents) {
  return std::bit_ceil(std::max(kSmallestSeal, used_bytes(extents)));
}

void seal_file(const std::string& path, std::uint64_t user_block, std::span<const Extent> extents) {
  const File file = File::open_update(path);
  std::vector<Extent> sorted;
  for (const Extent& extent : extents) {
    if (extent.bytes > 0) sorted.push_back(extent);
  }
  std::sort(sorted.begin(), sorted.end(), [](auto& a, auto& b) { return a.offset < b.offset; });
  SealHeader header;
  header.extents = static_cast<std::uint32_t>(sorted.size());
  header.user_block = user_block;
  header.file_bytes = file.size();
  if (used_bytes(sorted.size()) > user_block || !well_placed(sorted, user_block, header.file_bytes)) {
    throw Error("cannot seal: " + std::to_string(sorted.size()) + " extents do not fit a user block of " +
                    std::to_string(user_block) + " bytes in a file of " + std::to_string(header.file_bytes) +
                    ".",
                path, "Create the file with Hdf5Layout::user_block = seal_bytes(number of extents).");
  }
  header.crc_of_rest = crc_outside(file, user_block, header.file_bytes, sorted);
  std::vector<char> seal(user_block, '\0');
  std::memcpy(seal.data(), &header, sizeof(header));
  if (!sorted.empty()) {
    std::memcpy(seal.data() + sizeof(header), sorted.data(), sorted.size() * sizeof(Extent));
  }
  const std::size_t covered = used_bytes(sorted.size()) - sizeof(std::uint32_t);
  const std::uint32_t crc = crc32c(seal.data(), covered);
  std::memcpy(seal.data() + covered, &crc, sizeof(crc));
  file.write_at(seal.data(), seal.size(), 0);
}

std::vector<Extent> check_seal(const std::string& path, const std::string& kind) {
  const File file = File::open_read(path);
  const std::uint64_t file_bytes = file.size();
  const SealHeader header = read_seal_header(file, kind);
  const std::uint64_t used = used_bytes(header.extents);
  std::vector<char> seal(used);
  file.read_at(seal.data(), seal.size(), 0);
  std::uint32_t crc = 0;
  std::memcpy(&crc, seal.data() + used - sizeof(crc), sizeof(crc));
  if (crc != crc32c(seal.data(), used - sizeof(crc))) throw damaged(path, kind, "has a damaged seal.");
  if (header.file_bytes != file_bytes) {
    throw damaged(path, kind,
                  (file_bytes < header.file_bytes ? "is truncated: it has " : "was altered: it has ") +
                      std::to_string(file_bytes) + " bytes of " + std::to_string(header.file_bytes) + ".");
  }
  std::vector<Extent> extents(header.extents);
  if (!extents.empty()) {
    std::memcpy(extents.data(), seal.data() + sizeof(header), extents.size() * sizeof(Extent));
  }
  if (!well_placed(extents, header.user_block, file_bytes)) throw damaged(path, kind, "has a damaged seal.");
  if (crc_outside(file, header.user_block, file_bytes, extents) != header.crc_of_rest) {
    throw damaged(path, kind, "is damaged: the checksum of its description does not match.");
  }
  return extents;
}

std::uint32_t seal_checksum(const File& file, const std::string& kind) {
  const SealHeader header = read_seal_header(file, kind);
  std::uint32_t crc = 0;
  file.read_at(&crc, sizeof(crc), used_bytes(header.extents) - sizeof(crc));
  return crc;
}

}  // namespace tessera::io
