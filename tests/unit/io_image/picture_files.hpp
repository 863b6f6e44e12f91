#pragma once
// The files in data/ were made with Pillow 13.0 on libjpeg-turbo; NAME_expected.png is what Pillow decodes.

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "io/file.hpp"
#include "io/image.hpp"
#include "io/png.hpp"

namespace tessera::io {

inline std::filesystem::path data_file(const std::string& name) {
  return std::filesystem::path(__FILE__).parent_path() / "data" / name;
}

inline std::vector<std::uint8_t> data_bytes(const std::string& name) {
  const std::string content = read_file(data_file(name).string());
  return {content.begin(), content.end()};
}

/// Noise from a linear congruential generator, as the script that made the golden hashes drew it.
inline Image noise(int width, int height, std::uint32_t seed) {
  Image image(width, height);
  for (auto& sample : image.pixels) {
    seed = seed * 1664525u + 1013904223u;
    sample = static_cast<std::uint8_t>(seed >> 24);
  }
  return image;
}

/// FNV-1a of the pixels.
inline std::uint64_t hash_of(const Image& image) {
  std::uint64_t hash = 14695981039346656037u;
  for (const std::uint8_t sample : image.pixels) hash = (hash ^ sample) * 1099511628211u;
  return hash;
}

}  // namespace tessera::io
