#pragma once
// Invariant: tiles keep their order, left to right and top to bottom; every tile shows all of its label that
// fits, and pixels are repeated, never blended, so that a grid shows what was sampled.

#include <span>
#include <string>
#include <vector>

#include "io/image.hpp"

namespace tessera::io {

struct Tile {
  Image image;
  std::string label;  ///< UTF-8; drawn under the picture
};

struct GridOptions {
  int columns = 0;      ///< 0: the number nearest a square grid
  int tile_side = 128;  ///< small pictures are magnified by the largest whole factor that keeps within it
  int gap = 8;          ///< pixels between tiles and around the grid
  int label_lines = 3;  ///< most lines under a tile; the grid takes as many as its longest label needs
  int text_scale = 1;   ///< pixels per font pixel
  std::string title;    ///< drawn above the grid, if not empty
};

/// Lays the pictures out with their labels under them; columns have one width, rows the height of their
/// pictures. Pictures larger than tile_side are kept as they are.
/// @throws Error if there are no tiles, or a tile has no pixels.
Image picture_grid(std::span<const Tile> tiles, const GridOptions& options = {});

}  // namespace tessera::io
