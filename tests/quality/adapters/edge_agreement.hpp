#pragma once
// Invariant: two edge maps are compared by what lies near what, one pixel apart at most: a line that is drawn
// beside the wanted one counts, one across it does not. Nothing of the model takes part.

#include "io/image.hpp"

namespace tessera::quality {

struct Agreement {
  double precision = 0;  ///< share of the edges found that lie within reach of a wanted one
  double recall = 0;     ///< share of the wanted edges that lie within reach of one found
  /// Their harmonic mean; 1 when both maps are empty, 0 when one is.
  [[nodiscard]] double f1() const;
};

/// @param reach  in pixels, in each direction. @pre equal sizes
[[nodiscard]] Agreement edge_agreement(const io::Image& found, const io::Image& wanted, int reach = 1);

}  // namespace tessera::quality
