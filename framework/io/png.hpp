#pragma once
// Invariant: every PNG colour type and depth becomes 8-bit RGB with the stored sample values (no gamma
// or profile conversion), alpha composited on white; a PNG appears at its path complete or not at all.

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "io/image.hpp"

namespace tessera::io {

/// @param bytes  a whole PNG file in memory.
/// @param name   what to call it in an error.
/// @throws Error if the bytes are damaged, truncated or too large.
Image decode_png(std::span<const std::uint8_t> bytes, const std::string& name);

/// Width and height from the first 24 bytes of a PNG file; none if they are not a PNG header.
std::optional<ImageSize> png_size(std::span<const std::uint8_t> bytes);

/// @throws Error if the file cannot be opened or decoded.
Image read_png(const std::filesystem::path& path);

/// The bytes of an 8-bit RGB PNG. @throws Error for an empty image.
std::vector<std::uint8_t> encode_png(const Image& image);

/// Writes under a temporary name in the same folder, then renames.
/// @throws Error if the folder is missing or not writable, or the disk is full; no partial file stays.
void write_png(const std::filesystem::path& path, const Image& image);

}  // namespace tessera::io
