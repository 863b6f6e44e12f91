#include "data/aspect_buckets.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <map>
#include <string>

#include "base/error.hpp"

namespace tessera::data {
namespace {

constexpr std::int64_t kTableSide = 1024;

struct Row {
  std::int64_t height, width;
};

// recipes P.E.2, at a nominal side of 1024 pixels
constexpr std::array<Row, 40> kRows{{
    {512, 2048}, {512, 1984}, {512, 1920}, {512, 1856}, {576, 1792},  {576, 1728}, {576, 1664}, {640, 1600},
    {640, 1536}, {704, 1472}, {704, 1408}, {704, 1344}, {768, 1344},  {768, 1280}, {832, 1216}, {832, 1152},
    {896, 1152}, {896, 1088}, {960, 1088}, {960, 1024}, {1024, 1024}, {1024, 960}, {1088, 960}, {1088, 896},
    {1152, 896}, {1152, 832}, {1216, 832}, {1280, 768}, {1344, 768},  {1408, 704}, {1472, 704}, {1536, 640},
    {1600, 640}, {1664, 576}, {1728, 576}, {1792, 576}, {1856, 512},  {1920, 512}, {1984, 512}, {2048, 512},
}};

std::int64_t scaled(std::int64_t length, std::int64_t side, std::int64_t unit) {
  const std::int64_t units = (2 * length * side + kTableSide * unit) / (2 * kTableSide * unit);
  return std::max<std::int64_t>(units, 1) * unit;
}

void check(std::span<const std::int64_t> sides, std::int64_t unit) {
  const auto refuse = [&](const std::string& what) {
    throw Error(
        what + ".", "aspect buckets",
        "Give picture sides that are multiples of what one patch of the model covers, smallest first.");
  };
  if (unit < 1) refuse("a unit of " + std::to_string(unit) + " pixels cannot be");
  if (sides.empty()) refuse("no picture side is given");
  for (const std::int64_t side : sides) {
    if (side >= unit && side % unit == 0 && side <= io::max_image_side) continue;
    refuse("the picture side " + std::to_string(side) + " is no multiple of the unit, " +
           std::to_string(unit) + " pixels");
  }
}

}  // namespace

double key_ratio(std::int64_t height, std::int64_t width) {
  // 100 h / w is exact where it ends in a half, so that halves are seen as such
  return std::nearbyint(100.0 * static_cast<double>(height) / static_cast<double>(width)) / 100.0;
}

std::string ratio_text(double ratio) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%g", ratio);
  return text.data();
}

double aspect_of(const std::string& shape) {
  double width = 0, height = 0;
  int used = 0;
  const bool read = std::sscanf(shape.c_str(), "%lf:%lf%n", &width, &height, &used) == 2 &&
                    used == static_cast<int>(shape.size());
  const double aspect = height / width;
  if (!read || !(width > 0) || !(height > 0) || !(aspect >= 1.0 / 16) || !(aspect <= 16)) {
    throw Error("'" + shape + "' is no shape of a picture.", "aspect",
                "Write width:height, for example 2:1 for a wide one, between 1:16 and 16:1.");
  }
  return aspect;
}

std::vector<AspectBucket> aspect_buckets(std::span<const std::int64_t> sides, std::int64_t unit) {
  check(sides, unit);
  std::map<double, const Row*> kept;
  const auto distance = [](const Row& row, double key) {
    return std::abs(static_cast<double>(row.height) / static_cast<double>(row.width) - key);
  };
  for (const Row& row : kRows) {
    const double key =
        key_ratio(scaled(row.height, sides.back(), unit), scaled(row.width, sides.back(), unit));
    const auto [at, fresh] = kept.emplace(key, &row);
    if (!fresh && distance(row, key) < distance(*at->second, key)) at->second = &row;
  }
  std::vector<AspectBucket> buckets;
  for (const auto& [key, row] : kept) {
    AspectBucket bucket{key, {}};
    for (const std::int64_t side : sides) {
      bucket.sizes.push_back({static_cast<int>(scaled(row->width, side, unit)),
                              static_cast<int>(scaled(row->height, side, unit))});
    }
    buckets.push_back(std::move(bucket));
  }
  return buckets;
}

std::size_t nearest_bucket(std::span<const AspectBucket> buckets, double height, double width) {
  const auto distance = [&](const AspectBucket& bucket) { return std::abs(bucket.ratio - height / width); };
  const auto nearest = std::min_element(buckets.begin(), buckets.end(), [&](const auto& a, const auto& b) {
    return distance(a) < distance(b);
  });
  return static_cast<std::size_t>(nearest - buckets.begin());
}

}  // namespace tessera::data
