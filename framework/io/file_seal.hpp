#pragma once
// Invariant: a sealed file that passes check_seal has the length it was written with, and every byte outside
// its listed extents is the byte that was written. HDF5's parser is not safe on damaged files, so shards and
// checkpoints are sealed and no damaged one reaches it; the extents (bulk data) carry checksums of their own.
//
// The seal fills the HDF5 user block, little-endian: magic 8 bytes, version u32, number of extents u32,
// bytes of the user block u64, bytes of the file u64, CRC32C of everything else u32 (bytes after the user
// block that lie in no extent, in order), zero u32, then {offset u64, bytes u64} per extent, then the CRC32C
// of all of the seal before it u32, then zeros.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "io/file.hpp"

namespace tessera::io {

/// The user block to ask of Hdf5Layout for a seal with up to this many extents: a power of two, 4096 or more.
[[nodiscard]] std::uint64_t seal_bytes(std::size_t extents);

/// Seals a closed file whose first `user_block` bytes are free. Extents may touch, not overlap; empty ones
/// are left out. @throws Error when they do not fit the user block or the file.
void seal_file(const std::string& path, std::uint64_t user_block, std::span<const Extent> extents);

/// Checks the seal and everything it covers (reads all bytes outside the extents once).
/// @param kind  what the file is meant to be, for messages: "shard", "checkpoint".
/// @return the extents, sorted by offset, within the file and disjoint.
/// @throws Error when the file is truncated, altered or not sealed.
std::vector<Extent> check_seal(const std::string& path, const std::string& kind);

/// The checksum of a sealed file's seal, which stands for its length and for every byte outside its extents:
/// what tells two files apart without reading either. Two small reads. @throws Error when there is no seal.
[[nodiscard]] std::uint32_t seal_checksum(const File& file, const std::string& kind);

}  // namespace tessera::io
