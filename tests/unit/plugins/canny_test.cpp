// The control map "canny" passes picture and thresholds to OpenCV as they are: its maps are those that
// Python's cv2.Canny(picture, low, high) of OpenCV 4.10 made of all three channels.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "plugin/assembly.hpp"
#include "plugin/slots/control_map.hpp"

namespace tessera {
namespace {

std::unique_ptr<ControlMap> canny(int low, int high) {
  static const Registry registry = Registry::with_installed_plugins();
  ConfigTree tree;
  tree.set("control.name", FieldValue(std::string("canny")));
  tree.set("control.low", FieldValue(std::int64_t{low}));
  tree.set("control.high", FieldValue(std::int64_t{high}));
  Assembly assembly(registry, tree);
  return assembly.make<ControlMap>("control", {});
}

/// Noise from a linear congruential generator, some of its bits cleared so that many gradients are equal.
io::Image noise(int width, int height, unsigned mask) {
  io::Image image(width, height);
  auto seed = static_cast<std::uint32_t>(width * 31 + height);
  for (auto& sample : image.pixels) {
    seed = seed * 1664525U + 1013904223U;
    sample = static_cast<std::uint8_t>((seed >> 24) & mask);
  }
  return image;
}

std::uint64_t fnv(const io::Image& image) {
  std::uint64_t hash = 14695981039346656037U;
  for (const std::uint8_t sample : image.pixels) hash = (hash ^ sample) * 1099511628211U;
  return hash;
}

struct Recorded {
  int width, height;
  unsigned mask;
  int low, high;
  std::ptrdiff_t edges;
  std::uint64_t map;
};

const Recorded recorded[] = {
    {9, 1, 0xff, 100, 200, 3, 0xbe86985ed49baea6U},      {7, 3, 0xc0, 100, 200, 10, 0x5779eee9035f374bU},
    {7, 3, 0x30, 100, 200, 1, 0x86bb21d574d3fad4U},      {7, 3, 0x30, 0, 0, 6, 0xdf40fd7ae74eadd1U},
    {40, 31, 0xff, 0, 0, 466, 0xa4f2424bef0cc405U},      {40, 31, 0xff, 60, 900, 382, 0x0c1c0885b67235c1U},
    {40, 31, 0xff, 300, 1200, 156, 0xe09a4a7b60ded73dU}, {40, 31, 0x30, 100, 200, 288, 0x94b4630300fd7603U},
    {64, 64, 0xc0, 60, 900, 451, 0x860582f1417f0b92U},   {64, 64, 0x30, 100, 200, 960, 0x7cde1b88055fd93dU},
};

TEST(Canny, GivesOpenCvsMapsPixelForPixel) {
  for (const Recorded& expected : recorded) {
    const io::Image map =
        canny(expected.low, expected.high)->extract(noise(expected.width, expected.height, expected.mask));
    const std::string what = std::to_string(expected.width) + " x " + std::to_string(expected.height) +
                             " & " + std::to_string(expected.mask) + ", " + std::to_string(expected.low) +
                             ", " + std::to_string(expected.high);
    EXPECT_EQ(map.size(), (io::ImageSize{expected.width, expected.height})) << what;
    EXPECT_EQ(std::ranges::count(map.pixels, 255) / 3, expected.edges) << what;
    EXPECT_EQ(fnv(map), expected.map) << what;
  }
}

TEST(Canny, OutlinesASquare) {
  io::Image picture(12, 12);
  io::paste(picture, io::Image(6, 6, {200, 0, 0}), 3, 3);
  const io::Image map = canny(100, 200)->extract(picture);
  EXPECT_EQ(map.at(6, 6)[0], 0);  // inside
  EXPECT_EQ(map.at(0, 0)[0], 0);
  int left = 0;  // each row through the square crosses two lines
  for (int x = 0; x < 12; ++x) left += map.at(x, 6)[0] == 255 ? 1 : 0;
  EXPECT_EQ(left, 2);
}

TEST(Canny, RefusesThresholdsThatContradict) {
  EXPECT_EQ(canny(100, 200)->identity(), "canny low=100 high=200");
  try {
    (void)canny(300, 200);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("control.low"));
  }
}

}  // namespace
}  // namespace tessera
