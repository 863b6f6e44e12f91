#pragma once
// Invariant: what a picture shows is told from its background without knowing what it should show: the same
// rule measures real pictures, generated ones and the references they are compared with.

#include <cstddef>
#include <vector>

#include "io/image.hpp"
#include "lab.hpp"

namespace tessera::quality {

/// One flag per pixel, rows from the top.
using Mask = std::vector<bool>;

struct Foreground {
  Mask mask;               ///< holes filled
  Lab colour;              ///< mean over the mask, holes left out; meaningless when the mask is empty
  std::size_t pixels = 0;  ///< set in the mask
};

/// Pixels whose colour is far from the border's, after a 3 x 3 median against noise. A picture whose border
/// has no common colour has no background, and so no foreground: pure noise shows nothing, and neither do
/// specks.
[[nodiscard]] Foreground find_foreground(const io::Image& picture);

/// Intersection over union; 0 when both are empty. @pre equal sizes
[[nodiscard]] double overlap(const Mask& x, const Mask& y);

}  // namespace tessera::quality
