#pragma once
// Invariant: CIE L*a*b* of sRGB (IEC 61966-2-1) under its own white point, D65 (CIE 15:2004, section 8.2.1):
// white is (100, 0, 0), greys have a = b = 0, and a distance of about 2.3 is just noticeable.

#include "io/image.hpp"

namespace tessera::quality {

struct Lab {
  double l = 0, a = 0, b = 0;
};

[[nodiscard]] Lab to_lab(io::Rgb colour);

/// Euclidean distance, Delta E of 1976.
[[nodiscard]] double distance(const Lab& x, const Lab& y);

}  // namespace tessera::quality
