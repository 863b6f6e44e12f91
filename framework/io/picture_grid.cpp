#include "io/picture_grid.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/error.hpp"
#include "io/bitmap_font.hpp"
#include "io/resize.hpp"
#include "io/text_draw.hpp"

namespace tessera::io {
namespace {

constexpr Rgb paper{250, 250, 250};  // a shade off white, so that the edges of white pictures show
constexpr Rgb ink{30, 30, 30};

void paste(Image& canvas, const Image& image, int left, int top) {
  for (int y = 0; y < image.height; ++y)
    std::memcpy(canvas.at(left, top + y), image.at(0, y), 3 * static_cast<std::size_t>(image.width));
}

int factor_for(const Image& image, int tile_side) {
  return std::max(1, tile_side / std::max(image.width, image.height));
}

}  // namespace

Image picture_grid(std::span<const Tile> tiles, const GridOptions& options) {
  if (tiles.empty()) throw Error("There are no pictures to lay out.", "picture grid", "Give at least one.");
  int cell_width = 0, cell_height = 0;
  for (const Tile& tile : tiles) {
    if (tile.image.empty())
      throw Error("A picture without pixels cannot be laid out ('" + tile.label + "').", "picture grid");
    const int factor = factor_for(tile.image, options.tile_side);
    cell_width = std::max(cell_width, tile.image.width * factor);
    cell_height = std::max(cell_height, tile.image.height * factor);
  }
  const int count = static_cast<int>(tiles.size());
  const int square = static_cast<int>(std::ceil(std::sqrt(static_cast<double>(count))));
  const int columns = std::min(options.columns > 0 ? options.columns : square, count);
  const int rows = (count + columns - 1) / columns;

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

  const int row_height = cell_height + label_height + options.gap;
  Image canvas(width, options.gap + title_height + rows * row_height, paper);
  for (std::size_t i = 0; i < title.size(); ++i)
    draw_text(canvas, options.gap, options.gap + static_cast<int>(i) * line_height, title[i], ink,
              options.text_scale);

  for (int i = 0; i < count; ++i) {
    const Tile& tile = tiles[static_cast<std::size_t>(i)];
    const int left = options.gap + (i % columns) * (cell_width + options.gap);
    const int top = options.gap + title_height + (i / columns) * row_height;
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
