#include "io/picture_grid.hpp"

#include <algorithm>
#include <cmath>

#include "base/error.hpp"
#include "io/bitmap_font.hpp"
#include "io/resize.hpp"
#include "io/text_draw.hpp"

namespace tessera::io {
namespace {

constexpr Rgb paper{250, 250, 250};  // a shade off white, so that the edges of white pictures show
constexpr Rgb ink{30, 30, 30};

int factor_for(const Image& image, int tile_side) {
  return std::max(1, tile_side / std::max(image.width, image.height));
}

}  // namespace

Image picture_grid(std::span<const Tile> tiles, const GridOptions& options) {
  if (tiles.empty()) throw Error("There are no pictures to lay out.", "picture grid", "Give at least one.");
  const int count = static_cast<int>(tiles.size());
  const int square = static_cast<int>(std::ceil(std::sqrt(static_cast<double>(count))));
  const int columns = std::min(options.columns > 0 ? options.columns : square, count);
  const int rows = (count + columns - 1) / columns;
  int cell_width = 0;
  std::vector<int> cell_heights(static_cast<std::size_t>(rows), 0);  // a row of wide pictures is low
  for (int i = 0; i < count; ++i) {
    const Tile& tile = tiles[static_cast<std::size_t>(i)];
    if (tile.image.empty())
      throw Error("A picture without pixels cannot be laid out ('" + tile.label + "').", "picture grid");
    const int factor = factor_for(tile.image, options.tile_side);
    cell_width = std::max(cell_width, tile.image.width * factor);
    int& height = cell_heights[static_cast<std::size_t>(i / columns)];
    height = std::max(height, tile.image.height * factor);
  }

  const int line_height = line_advance * options.text_scale;
  const int letters = (cell_width + options.text_scale) / (glyph_advance * options.text_scale);
  std::vector<std::vector<std::string>> labels;
  std::size_t most_lines = 0;
  for (const Tile& tile : tiles) {
    labels.push_back(wrap_text(drawable_text(tile.label), letters, options.label_lines));
    most_lines = std::max(most_lines, labels.back().size());
  }
  const int label_height = most_lines == 0 ? 0 : static_cast<int>(most_lines) * line_height + 4;
  const int width = columns * (cell_width + options.gap) + options.gap;

  const int title_letters = (width - 2 * options.gap) / (glyph_advance * options.text_scale);
  const auto title = wrap_text(drawable_text(options.title), title_letters);
  const int title_height = title.empty() ? 0 : static_cast<int>(title.size()) * line_height + options.gap;

  int height = options.gap + title_height;
  std::vector<int> tops;
  for (const int cell_height : cell_heights) {
    tops.push_back(height);
    height += cell_height + label_height + options.gap;
  }
  Image canvas(width, height, paper);
  for (std::size_t i = 0; i < title.size(); ++i)
    draw_text(canvas, options.gap, options.gap + static_cast<int>(i) * line_height, title[i], ink,
              options.text_scale);

  for (int i = 0; i < count; ++i) {
    const Tile& tile = tiles[static_cast<std::size_t>(i)];
    const int left = options.gap + (i % columns) * (cell_width + options.gap);
    const auto row = static_cast<std::size_t>(i / columns);
    const int top = tops[row], cell_height = cell_heights[row];
    const Image large = magnify(tile.image, factor_for(tile.image, options.tile_side));
    paste(canvas, large, left + (cell_width - large.width) / 2, top + (cell_height - large.height) / 2);
    int y = top + cell_height + 4;
    for (const std::string& line : labels[static_cast<std::size_t>(i)]) {
      draw_text(canvas, left + (cell_width - text_width(line, options.text_scale)) / 2, y, line, ink,
                options.text_scale);
      y += line_height;
    }
  }
  return canvas;
}

}  // namespace tessera::io
