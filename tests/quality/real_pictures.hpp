#pragma once
// Invariant: the real pictures are every combination of the shapes with the colours that all of them have.

#include <vector>

#include "scorer.hpp"

namespace tessera::quality {

/// The hearts, circles and squares of datasets/emoji, prepared as for training at `side` pixels. White is
/// left out: on a white background its outline is all that could be measured.
/// @throws Error when the font or Unicode's lists are not installed.
[[nodiscard]] std::vector<RealPicture> real_pictures(int side);

/// The same as the font draws them.
[[nodiscard]] std::vector<RealPicture> real_emoji();

}  // namespace tessera::quality
