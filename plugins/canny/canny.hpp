#pragma once
// Invariant: equals OpenCV's Canny(picture, low, high) (aperture 3, L1 norm of the gradient) pixel for pixel,
// so that maps made here are those that published ControlNets are trained on, and the same on every machine.

#include "io/image.hpp"

namespace tessera {

struct CannyThresholds {
  int low = 100;   ///< an edge goes on where |dx| + |dy| is above this
  int high = 200;  ///< and begins where it is above this
};

/// Edges white, the rest black. Of the three channels the one with the steepest gradient counts at a pixel.
[[nodiscard]] io::Image canny(const io::Image& picture, const CannyThresholds& thresholds);

}  // namespace tessera
