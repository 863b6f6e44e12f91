#pragma once
// Invariant: what sampling does to a picture, done to pictures whose content is known.

#include <array>
#include <cstdint>

#include "io/image.hpp"

namespace tessera::quality {

/// Noise, and a background that is not quite white.
/// @param noise   standard deviation, of 255. @param darker  share of every value that is taken away.
[[nodiscard]] io::Image disturbed(const io::Image& picture, double noise, double darker, std::uint32_t seed);

/// Half of the resolution and back.
[[nodiscard]] io::Image blurred(const io::Image& picture);

/// Noise around grey.
[[nodiscard]] io::Image noise_picture(io::ImageSize size, double deviation, std::uint32_t seed);

struct Disturbance {
  const char* name;
  /// @param number  which picture it is: decides the noise.
  io::Image (*of)(const io::Image& picture, std::uint32_t number);
};

/// What a scorer has to bear.
[[nodiscard]] const std::array<Disturbance, 4>& disturbances();

}  // namespace tessera::quality
