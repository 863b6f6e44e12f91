#pragma once
// Invariant: a JPEG that is damaged or ends early is an Error, never a picture with grey parts; grey and CMYK
// files become RGB; the picture stands upright as its Exif orientation says.

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>

#include "io/image.hpp"

namespace tessera::io {

/// @param bytes  a whole JPEG file in memory.
/// @param name   what to call it in an error.
/// @throws Error if the bytes are damaged, truncated or too large.
Image decode_jpeg(std::span<const std::uint8_t> bytes, const std::string& name);

/// Width and height (upright) from the beginning of a JPEG file; none if the header is not complete in it.
std::optional<ImageSize> jpeg_size(std::span<const std::uint8_t> bytes);

/// @throws Error if the file cannot be opened or decoded.
Image read_jpeg(const std::filesystem::path& path);

}  // namespace tessera::io
