#include "disturbances.hpp"

#include <algorithm>
#include <cmath>
#include <random>

#include "io/resize.hpp"

namespace tessera::quality {
namespace {

std::uint8_t to_byte(double value) {
  return static_cast<std::uint8_t>(std::lround(std::clamp(value, 0.0, 255.0)));
}

/// Drawn a sixteenth of the shorter side too far right and down; white comes in.
io::Image moved(const io::Image& picture) {
  const int by = std::min(picture.width, picture.height) / 16;
  io::Image out(picture.width, picture.height);
  for (int y = by; y < picture.height; ++y) {
    for (int x = by; x < picture.width; ++x) std::copy_n(picture.at(x - by, y - by), 3, out.at(x, y));
  }
  return out;
}

}  // namespace

io::Image disturbed(const io::Image& picture, double noise, double darker, std::uint32_t seed) {
  std::mt19937 engine(seed);
  std::normal_distribution<double> normal(0, noise);
  io::Image out = picture;
  for (std::uint8_t& value : out.pixels) value = to_byte(value * (1 - darker) + normal(engine));
  return out;
}

io::Image blurred(const io::Image& picture) {
  const io::Image half = io::resize(picture, picture.width / 2, picture.height / 2, io::Filter::bilinear);
  return io::resize(half, picture.width, picture.height, io::Filter::bilinear);
}

io::Image noise_picture(io::ImageSize size, double deviation, std::uint32_t seed) {
  return disturbed(io::Image(size.width, size.height, {128, 128, 128}), deviation, 0, seed);
}

const std::array<Disturbance, 4>& disturbances() {
  static const std::array<Disturbance, 4> all{
      {{"as they are", [](const io::Image& picture, std::uint32_t) { return picture; }},
       {"noise 16/255, background 5 % darker",
        [](const io::Image& picture, std::uint32_t number) { return disturbed(picture, 16, 0.05, number); }},
       {"moved by 1/16", [](const io::Image& picture, std::uint32_t) { return moved(picture); }},
       {"blurred", [](const io::Image& picture, std::uint32_t) { return blurred(picture); }}}};
  return all;
}

}  // namespace tessera::quality
