#pragma once
// Invariant: a bucket's ratio is the key of its own size at the finest side: height over width to two
// decimals, as PixArt's published keys are (recipes P.E.2). So the key of a latent follows from its size
// alone, and no two buckets of a table have the same one. Sizes at all sides come from one row of the
// published table.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "io/image.hpp"

namespace tessera::data {

/// Pictures of one aspect ratio, at one or several nominal sides.
struct AspectBucket {
  double ratio = 0;                  ///< the key, height / width
  std::vector<io::ImageSize> sizes;  ///< pixels, one per nominal side
};

/// height / width to two decimals, halves to even: 1856 x 512 gives 3.62, 1984 x 512 gives 3.88.
[[nodiscard]] double key_ratio(std::int64_t height, std::int64_t width);

/// "0.25", "1", "3.62"
[[nodiscard]] std::string ratio_text(double ratio);

/// Height / width of a shape as people write it, "16:9" (width:height).
/// @throws Error when it is no such text, or is narrower than 1:16 or 16:1.
[[nodiscard]] double aspect_of(const std::string& shape);

/// PixArt's 40 buckets scaled to nominal sides (that of the square bucket), sizes rounded to multiples of
/// `unit`; of those that then have the same key at the last side, the row nearest to it is kept. Ascending by
/// ratio. At 1024, 512 and 256 pixels with a unit of 64, 32 and 16 or less these are the published tables.
/// @param sides  pixels, ascending.
/// @param unit   pixels: what one patch of the model covers, a multiple of the codec's downsampling.
/// @throws Error when a side is no multiple of the unit.
[[nodiscard]] std::vector<AspectBucket> aspect_buckets(std::span<const std::int64_t> sides,
                                                       std::int64_t unit);

/// The bucket whose key is nearest to height / width, the lower one of two at the same distance.
/// @param buckets  as aspect_buckets returns them, not empty.
[[nodiscard]] std::size_t nearest_bucket(std::span<const AspectBucket> buckets, double height, double width);

}  // namespace tessera::data
