#pragma once
// Invariant: an Image is opaque 8-bit sRGB, three interleaved channels, rows from the top, no padding;
// pixels.size() == 3 * width * height. Everything with transparency is composited on white on entry.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

namespace tessera::io {

/// Largest picture the decoders accept: a damaged header must not ask for terabytes.
inline constexpr std::size_t max_image_pixels = std::size_t{1} << 28;
inline constexpr std::uint32_t max_image_side = 1u << 20;

/// Width and height in pixels.
struct ImageSize {
  int width = 0;
  int height = 0;
  bool operator==(const ImageSize&) const = default;
};

struct Rgb {
  std::uint8_t r = 0, g = 0, b = 0;
  bool operator==(const Rgb&) const = default;
};

inline constexpr Rgb white{255, 255, 255};

/// A picture in memory: pixels[(y * width + x) * 3 + channel].
struct Image {
  int width = 0;
  int height = 0;
  std::vector<std::uint8_t> pixels;

  Image() = default;
  Image(int w, int h, Rgb fill = white) : width(w), height(h) {
    pixels.resize(3 * static_cast<std::size_t>(w) * static_cast<std::size_t>(h));
    for (std::size_t i = 0; i < pixels.size(); i += 3) {
      pixels[i] = fill.r;
      pixels[i + 1] = fill.g;
      pixels[i + 2] = fill.b;
    }
  }

  [[nodiscard]] ImageSize size() const { return {width, height}; }
  [[nodiscard]] bool empty() const { return pixels.empty(); }

  [[nodiscard]] std::uint8_t* at(int x, int y) { return pixels.data() + offset(x, y); }
  [[nodiscard]] const std::uint8_t* at(int x, int y) const { return pixels.data() + offset(x, y); }

  bool operator==(const Image&) const = default;

 private:
  [[nodiscard]] std::size_t offset(int x, int y) const {
    return 3 * (static_cast<std::size_t>(y) * static_cast<std::size_t>(width) + static_cast<std::size_t>(x));
  }
};

/// Copies an image into another at (left, top). @pre it lies inside.
inline void paste(Image& canvas, const Image& image, int left, int top) {
  for (int y = 0; y < image.height; ++y)
    std::memcpy(canvas.at(left, top + y), image.at(0, y), 3 * static_cast<std::size_t>(image.width));
}

/// One channel of a straight-alpha colour laid over white, rounded to nearest.
inline std::uint8_t over_white(unsigned value, unsigned alpha) {
  const unsigned scaled = value * alpha + 255u * (255u - alpha);
  return static_cast<std::uint8_t>((scaled + 127u) / 255u);
}

}  // namespace tessera::io
