#include <optional>
#include <stdexcept>

#include "base/error.hpp"
#include "io/exif.hpp"
#include "io/jpeg.hpp"
#include "io/png.hpp"
#include "targets.hpp"

namespace tessera::fuzz {
namespace {

/// A header may ask for hundreds of megabytes, which is allowed, but leaves a fuzzer little time to explore.
constexpr std::int64_t most_pixels = 1 << 20;

bool small(const std::optional<io::ImageSize>& size) {
  return !size || std::int64_t{size->width} * size->height <= most_pixels;
}

void check(const io::Image& image, const std::optional<io::ImageSize>& announced) {
  const auto expected = 3 * static_cast<std::size_t>(image.width) * static_cast<std::size_t>(image.height);
  if (image.empty() || image.pixels.size() != expected)
    throw std::logic_error("a decoded picture has other pixels than its size says");
  if (announced && *announced != image.size())
    throw std::logic_error("a picture has another size than its header announced");
}

}  // namespace

bool run_picture(Bytes bytes) {
  const int orientation = io::exif_orientation(bytes);
  if (orientation < 1 || orientation > 8) throw std::logic_error("an orientation is not 1 to 8");
  const std::optional<io::ImageSize> png = io::png_size(bytes);
  const std::optional<io::ImageSize> jpeg = io::jpeg_size(bytes);
  bool accepted = false;
  if (small(png)) {
    try {
      check(io::decode_png(bytes, "fuzz.png"), png);
      accepted = true;
    } catch (const Error&) {
    }
  }
  if (small(jpeg)) {
    try {
      check(io::decode_jpeg(bytes, "fuzz.jpg"), jpeg);
      accepted = true;
    } catch (const Error&) {
    }
  }
  return accepted;
}

}  // namespace tessera::fuzz
