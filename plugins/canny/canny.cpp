#include "canny.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <vector>

namespace tessera {
namespace {

/// Of the steepest channel at a pixel.
struct Gradient {
  int x = 0, y = 0;
  int norm = 0;  ///< |x| + |y|
};

/// A plane of values with a border of zeros, one wide.
template <class T>
class Padded {
 public:
  Padded(int width, int height)
      : stride_(width + 2),
        values_(static_cast<std::size_t>(stride_) * static_cast<std::size_t>(height + 2)) {}
  [[nodiscard]] T& at(int x, int y) { return values_[index(x, y)]; }
  [[nodiscard]] const T& at(int x, int y) const { return values_[index(x, y)]; }

 private:
  [[nodiscard]] std::size_t index(int x, int y) const {
    return static_cast<std::size_t>(y + 1) * static_cast<std::size_t>(stride_) +
           static_cast<std::size_t>(x + 1);
  }
  int stride_;
  std::vector<T> values_;
};

/// Sobel's differences; pixels outside the picture are those at its border.
Padded<Gradient> gradients(const io::Image& picture) {
  Padded<Gradient> all(picture.width, picture.height);
  for (int y = 0; y < picture.height; ++y) {
    const int above = std::max(y - 1, 0), below = std::min(y + 1, picture.height - 1);
    for (int x = 0; x < picture.width; ++x) {
      const int left = std::max(x - 1, 0), right = std::min(x + 1, picture.width - 1);
      Gradient& steepest = all.at(x, y);
      for (int channel = 0; channel < 3; ++channel) {
        const auto value = [&](int column, int row) { return int{picture.at(column, row)[channel]}; };
        const int dx = value(right, above) - value(left, above) + 2 * (value(right, y) - value(left, y)) +
                       value(right, below) - value(left, below);
        const int dy = value(left, below) - value(left, above) + 2 * (value(x, below) - value(x, above)) +
                       value(right, below) - value(right, above);
        const int norm = std::abs(dx) + std::abs(dy);
        if (channel == 0 || norm > steepest.norm) steepest = {dx, dy, norm};
      }
    }
  }
  return all;
}

/// Whether the norm is greatest across the edge: compared with the two neighbours in the direction of the
/// gradient, rounded to a multiple of 45 degrees. Ties go one way, so that a plateau gives a line.
bool is_ridge(const Padded<Gradient>& all, int x, int y) {
  constexpr int bits = 15;
  constexpr std::int64_t tan_22 = 13573;  // tan(22.5 degrees) in units of 2^-15
  const Gradient& here = all.at(x, y);
  const auto norm = [&](int dx, int dy) { return all.at(x + dx, y + dy).norm; };
  const std::int64_t along = std::abs(here.x);
  const std::int64_t across = std::int64_t{std::abs(here.y)} << bits;
  const std::int64_t lower = along * tan_22;
  if (across < lower) return here.norm > norm(-1, 0) && here.norm >= norm(1, 0);
  // tan(67.5 degrees) = tan(22.5 degrees) + 2
  if (across > lower + (along << (bits + 1))) return here.norm > norm(0, -1) && here.norm >= norm(0, 1);
  const int side = (here.x ^ here.y) < 0 ? -1 : 1;
  return here.norm > norm(-side, -1) && here.norm > norm(side, 1);
}

}  // namespace

io::Image canny(const io::Image& picture, const CannyThresholds& thresholds) {
  const Padded<Gradient> gradient = gradients(picture);
  struct Place {
    int x, y;
  };
  Padded<std::uint8_t> weak(picture.width, picture.height);
  std::vector<Place> front;
  io::Image map(picture.width, picture.height, {0, 0, 0});
  const auto take = [&](int x, int y) {
    std::fill_n(map.at(x, y), 3, std::uint8_t{255});
    weak.at(x, y) = 0;
    front.push_back({x, y});
  };
  for (int y = 0; y < picture.height; ++y) {
    for (int x = 0; x < picture.width; ++x) {
      const int norm = gradient.at(x, y).norm;
      if (norm <= thresholds.low || !is_ridge(gradient, x, y)) continue;
      weak.at(x, y) = 1;
      if (norm > thresholds.high) take(x, y);
    }
  }
  while (!front.empty()) {
    const Place from = front.back();
    front.pop_back();
    for (int dy = -1; dy <= 1; ++dy) {
      for (int dx = -1; dx <= 1; ++dx) {
        if (weak.at(from.x + dx, from.y + dy) != 0) take(from.x + dx, from.y + dy);
      }
    }
  }
  return map;
}

}  // namespace tessera
