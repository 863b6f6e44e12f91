#pragma once
// Invariant: a damaged or missing Exif block means orientation 1 (as stored), never an error: cameras write
// what they like there.

#include <cstdint>
#include <span>

#include "io/image.hpp"

namespace tessera::io {

/// The orientation 1..8 that an Exif block (APP1 payload, starting "Exif\0\0") asks for.
int exif_orientation(std::span<const std::uint8_t> block);

/// The picture turned and mirrored as orientation 1..8 asks (Exif 2.3, tag 0x0112); 1 leaves it.
Image oriented(Image image, int orientation);

/// True where the orientation exchanges width and height.
inline bool orientation_swaps_sides(int orientation) { return orientation >= 5 && orientation <= 8; }

}  // namespace tessera::io
