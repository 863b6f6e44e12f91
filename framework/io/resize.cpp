#include "io/resize.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>

#include "base/error.hpp"

namespace tessera::io {
namespace {

double support_of(Filter filter) {
  switch (filter) {
    case Filter::box:
      return 0.5;
    case Filter::bilinear:
      return 1.0;
    case Filter::bicubic:
      return 2.0;
  }
  return 0.0;
}

double weight(Filter filter, double x) {
  switch (filter) {
    case Filter::box:
      return x > -0.5 && x <= 0.5 ? 1.0 : 0.0;
    case Filter::bilinear:
      return std::max(0.0, 1.0 - std::abs(x));
    case Filter::bicubic: {
      constexpr double a = -0.5;
      const double t = std::abs(x);
      if (t < 1.0) return ((a + 2.0) * t - (a + 3.0)) * t * t + 1.0;
      if (t < 2.0) return (((t - 5.0) * t + 8.0) * t - 4.0) * a;
      return 0.0;
    }
  }
  return 0.0;
}

// Weights are integers with this many fraction bits: 32 less 8 for the sample and 2 for the filter's
// overshoot. Pillow rounds its weights the same way, and equality with it needs the same rounding.
constexpr int fraction_bits = 22;

// For each output position the first source position and the weights from there on.
struct Taps {
  struct Window {
    int first = 0;
    int count = 0;
    std::size_t weights = 0;  // index into Taps::weights
  };
  std::vector<Window> windows;
  std::vector<std::int32_t> weights;
};

Taps make_taps(int from, int to, Filter filter) {
  const double scale = static_cast<double>(from) / to;
  const double widening = std::max(scale, 1.0);
  const double support = support_of(filter) * widening;
  Taps taps;
  std::vector<double> exact;
  for (int i = 0; i < to; ++i) {
    const double centre = (i + 0.5) * scale;
    const int first = std::max(0, static_cast<int>(centre - support + 0.5));
    const int last = std::min(from, static_cast<int>(centre + support + 0.5));
    exact.clear();
    double sum = 0.0;
    for (int j = first; j < last; ++j) {
      exact.push_back(weight(filter, (j - centre + 0.5) * (1.0 / widening)));
      sum += exact.back();
    }
    taps.windows.push_back({first, last - first, taps.weights.size()});
    for (const double w : exact) {
      const double scaled = (sum != 0.0 ? w / sum : w) * (1 << fraction_bits);
      taps.weights.push_back(static_cast<std::int32_t>(scaled + (scaled < 0.0 ? -0.5 : 0.5)));
    }
  }
  return taps;
}

std::uint8_t to_sample(std::int64_t sum) {
  return static_cast<std::uint8_t>(std::clamp<std::int64_t>(sum >> fraction_bits, 0, 255));
}

// One pass along an axis: `stride` is the distance in bytes between neighbours along it.
void resample_line(const std::uint8_t* in, std::size_t in_stride, std::uint8_t* out, std::size_t out_stride,
                   const Taps& taps) {
  for (const Taps::Window& window : taps.windows) {
    std::int64_t sum[3];
    std::fill(sum, sum + 3, std::int64_t{1} << (fraction_bits - 1));
    const std::uint8_t* sample = in + static_cast<std::size_t>(window.first) * in_stride;
    for (int j = 0; j < window.count; ++j, sample += in_stride) {
      const std::int64_t w = taps.weights[window.weights + static_cast<std::size_t>(j)];
      for (int c = 0; c < 3; ++c) sum[c] += w * sample[c];
    }
    for (int c = 0; c < 3; ++c) out[c] = to_sample(sum[c]);
    out += out_stride;
  }
}

}  // namespace

Image resize(const Image& image, int width, int height, Filter filter) {
  if (image.empty() || width < 1 || height < 1)
    throw Error("A picture of " + std::to_string(image.width) + " x " + std::to_string(image.height) +
                    " cannot be resized to " + std::to_string(width) + " x " + std::to_string(height) + ".",
                "resize", "Ask for sides of at least one pixel.");
  Image wide = image;
  if (width != image.width) {
    const Taps taps = make_taps(image.width, width, filter);
    wide = Image(width, image.height);
    for (int y = 0; y < image.height; ++y) resample_line(image.at(0, y), 3, wide.at(0, y), 3, taps);
  }
  if (height == image.height) return wide;
  const Taps taps = make_taps(image.height, height, filter);
  const std::size_t row = 3 * static_cast<std::size_t>(width);
  Image done(width, height);
  for (int x = 0; x < width; ++x) resample_line(wide.at(x, 0), row, done.at(x, 0), row, taps);
  return done;
}

ImageSize cover_size(ImageSize size, ImageSize target) {
  if (size.width < 1 || size.height < 1 || target.width < 1 || target.height < 1)
    throw Error("A picture of " + std::to_string(size.width) + " x " + std::to_string(size.height) +
                    " cannot be made to cover " + std::to_string(target.width) + " x " +
                    std::to_string(target.height) + ".",
                "resize", "Ask for sides of at least one pixel.");
  const std::int64_t w = size.width, h = size.height, to_w = target.width, to_h = target.height;
  // The side that needs the larger factor fits exactly. In whole numbers: where the factors are equal, both
  // do.
  if (to_h * w > to_w * h) return {static_cast<int>(w * to_h / h), target.height};
  return {target.width, static_cast<int>(h * to_w / w)};
}

int centre_crop_offset(int size, int crop) {
  const int difference = size - crop;
  const int half = difference / 2;
  return difference % 2 != 0 && half % 2 != 0 ? half + 1 : half;
}

Image centre_crop(const Image& image, int width, int height) {
  if (width < 1 || height < 1 || width > image.width || height > image.height)
    throw Error("A crop of " + std::to_string(width) + " x " + std::to_string(height) +
                    " does not fit a picture of " + std::to_string(image.width) + " x " +
                    std::to_string(image.height) + ".",
                "centre_crop", "Resize the picture first, or ask for a smaller crop.");
  const int left = centre_crop_offset(image.width, width);
  const int top = centre_crop_offset(image.height, height);
  Image crop(width, height);
  for (int y = 0; y < height; ++y)
    std::memcpy(crop.at(0, y), image.at(left, top + y), 3 * static_cast<std::size_t>(width));
  return crop;
}

Image resize_and_crop(const Image& image, ImageSize target, Filter filter) {
  const ImageSize size = cover_size(image.size(), target);
  return centre_crop(resize(image, size.width, size.height, filter), target.width, target.height);
}

Image magnify(const Image& image, int factor) {
  if (factor < 1) throw Error("A picture cannot be magnified " + std::to_string(factor) + " times.");
  Image large(image.width * factor, image.height * factor);
  for (int y = 0; y < large.height; ++y)
    for (int x = 0; x < large.width; ++x) std::memcpy(large.at(x, y), image.at(x / factor, y / factor), 3);
  return large;
}

}  // namespace tessera::io
