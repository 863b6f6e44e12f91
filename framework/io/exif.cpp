#include "io/exif.hpp"

#include <cstring>
#include <utility>

namespace tessera::io {

int exif_orientation(std::span<const std::uint8_t> block) {
  constexpr std::size_t tiff = 6;  // after "Exif\0\0": byte order mark, 42, offset of the first directory
  if (block.size() < tiff + 8 || std::memcmp(block.data(), "Exif\0\0", tiff) != 0) return 1;
  const bool little = block[tiff] == 'I';
  const auto u16 = [&](std::size_t at) -> unsigned {
    return little ? block[at] | block[at + 1] << 8 : block[at] << 8 | block[at + 1];
  };
  const auto u32 = [&](std::size_t at) -> std::size_t {
    return little ? u16(at) | std::size_t{u16(at + 2)} << 16 : std::size_t{u16(at)} << 16 | u16(at + 2);
  };
  const std::size_t directory = tiff + u32(tiff + 4);
  if (directory + 2 > block.size()) return 1;
  const unsigned count = u16(directory);
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t entry = directory + 2 + 12 * i;  // tag, type, number of values, value
    if (entry + 12 > block.size()) return 1;
    if (u16(entry) != 0x0112) continue;
    const unsigned value = u16(entry + 8);
    return value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
  }
  return 1;
}

Image oriented(Image image, int orientation) {
  if (orientation < 2 || orientation > 8) return image;
  const int w = image.width, h = image.height;
  Image turned = orientation_swaps_sides(orientation) ? Image(h, w) : Image(w, h);
  // For each pixel of the result, the stored pixel that belongs there.
  const auto source = [&](int x, int y) -> std::pair<int, int> {
    switch (orientation) {
      case 2:
        return {w - 1 - x, y};
      case 3:
        return {w - 1 - x, h - 1 - y};
      case 4:
        return {x, h - 1 - y};
      case 5:
        return {y, x};
      case 6:
        return {y, h - 1 - x};
      case 7:
        return {w - 1 - y, h - 1 - x};
      default:
        return {w - 1 - y, x};
    }
  };
  for (int y = 0; y < turned.height; ++y)
    for (int x = 0; x < turned.width; ++x) {
      const auto [sx, sy] = source(x, y);
      std::memcpy(turned.at(x, y), image.at(sx, sy), 3);
    }
  return turned;
}

}  // namespace tessera::io
