#pragma once
// Invariant: the format of a picture file is told from its first bytes, never from its name.

#include <filesystem>

#include "io/image.hpp"

namespace tessera::io {

/// A PNG or JPEG file. @throws Error if it is neither, is damaged, or cannot be opened.
Image read_image(const std::filesystem::path& path);

/// Its width and height, upright, reading no more of the file than its header.
/// @throws Error as read_image, except for damage after the header.
ImageSize read_image_size(const std::filesystem::path& path);

}  // namespace tessera::io
