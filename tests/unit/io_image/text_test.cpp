#include <gtest/gtest.h>

#include <set>

#include "base/error.hpp"
#include "io/bitmap_font.hpp"
#include "io/picture_grid.hpp"
#include "io/text_draw.hpp"
#include "picture_files.hpp"

namespace tessera::io {
namespace {

using Lines = std::vector<std::string>;

TEST(Font, glyphs_are_distinct_and_fit_their_cell) {
  std::set<Glyph> seen;
  for (char c = ' '; c <= '~'; ++c) {
    const Glyph& glyph = glyph_of(c);
    for (const std::uint8_t row : glyph) EXPECT_LT(row, 1 << glyph_width) << c;
    EXPECT_TRUE(seen.insert(glyph).second) << "'" << c << "' looks like another character";
  }
  EXPECT_EQ(glyph_of('\x01'), glyph_of('?'));
  EXPECT_EQ(glyph_of('\xC3'), glyph_of('?'));
}

TEST(Text, becomes_ascii_for_drawing) {
  EXPECT_EQ(drawable_text("C\u00F4te d\u2019Ivoire"), "Cote d'Ivoire");
  EXPECT_EQ(drawable_text("\u201Cstra\u00DFe\u201D \u2013 \u00C5land\t\u00D7"), "\"strasse\" - Aland x");
  EXPECT_EQ(drawable_text("a\U0001F49Cb"), "a?b");
  EXPECT_EQ(drawable_text("\xF0\x9F"), "??");
}

TEST(Text, wraps_at_spaces_and_cuts_long_words) {
  EXPECT_EQ(wrap_text("purple heart", 20), (Lines{"purple heart"}));
  EXPECT_EQ(wrap_text("purple heart", 11), (Lines{"purple", "heart"}));
  EXPECT_EQ(wrap_text("  a   b ", 3), (Lines{"a b"}));
  EXPECT_EQ(wrap_text("abcdefgh ij", 3), (Lines{"abc", "def", "gh", "ij"}));
  EXPECT_EQ(wrap_text("one two three four", 5, 2), (Lines{"one", "two.."}));
  EXPECT_EQ(wrap_text("", 5), Lines{});
}

TEST(Text, draws_the_glyph_and_stays_inside) {
  Image image(8, 9);
  draw_text(image, 1, 0, "I", {0, 0, 0});
  const Glyph& glyph = glyph_of('I');
  for (int y = 0; y < 9; ++y)
    for (int x = 0; x < 8; ++x) {
      const bool set = x >= 1 && x < 6 && ((glyph[static_cast<std::size_t>(y)] >> (5 - x)) & 1) != 0;
      EXPECT_EQ(image.at(x, y)[0], set ? 0 : 255) << x << ", " << y;
    }
  draw_text(image, -3, -4, "WWW", {9, 9, 9}, 3);
  EXPECT_EQ(text_width("abc", 2), 34);
}

TEST(Grid, places_tiles_and_magnifies_by_whole_factors) {
  const Image a = noise(32, 32, 1), b = noise(20, 10, 2), c(32, 32, {255, 0, 0});
  const std::vector<Tile> tiles{{a, "first"}, {b, "second"}, {c, ""}};
  GridOptions options;
  options.columns = 2;
  const Image grid = picture_grid(tiles, options);
  // Two rows of 128 pixels, each with one line of text (11 + 4) and a gap of 8.
  ASSERT_EQ(grid.size(), (ImageSize{8 + 2 * 136, 8 + 2 * (128 + 15 + 8)}));
  for (int y = 0; y < 128; ++y)
    for (int x = 0; x < 128; ++x) ASSERT_EQ(grid.at(8 + x, 8 + y)[2], a.at(x / 4, y / 4)[2]);
  // 20 x 10 grows six times to 120 x 60 and is centred in its cell.
  EXPECT_EQ(grid.at(144 + 4, 8 + 34)[0], b.at(0, 0)[0]);
  EXPECT_EQ(grid.at(144 + 123, 8 + 93)[0], b.at(19, 9)[0]);
  EXPECT_EQ(grid.at(8, 8 + 151)[1], 0);
}

TEST(Grid, grows_with_the_longest_label_and_the_title) {
  const Tile tile{Image(8, 8), "seven words that need more than one line"};
  const Tile brief{Image(8, 8), "brief"};
  GridOptions options;
  const int plain = picture_grid({&brief, 1}, options).height;
  EXPECT_EQ(picture_grid({&tile, 1}, options).height, plain + line_advance);
  options.title = "title";
  EXPECT_EQ(picture_grid({&brief, 1}, options).height, plain + line_advance + options.gap);
}

TEST(Grid, rows_are_as_high_as_their_pictures) {
  const Image wide(64, 16, {0, 255, 0}), tall(16, 64, {255, 0, 0});
  const std::vector<Tile> tiles{{wide, ""}, {wide, ""}, {tall, ""}, {wide, ""}};
  GridOptions options;
  options.columns = 2;
  const Image grid = picture_grid(tiles, options);
  ASSERT_EQ(grid.size(), (ImageSize{8 + 2 * 136, 8 + 32 + 8 + 128 + 8}));
  EXPECT_EQ(grid.at(8, 8 + 31)[0], 0);         // the first, 128 x 32
  EXPECT_EQ(grid.at(8 + 48, 8 + 40)[1], 0);    // the third, 32 x 128, in the middle of its cell
  EXPECT_EQ(grid.at(144, 8 + 40 + 48)[0], 0);  // the fourth beside it
}

TEST(Grid, refuses_nothing_to_show) {
  EXPECT_THROW(picture_grid({}), Error);
  const Tile empty{Image(), "nothing"};
  EXPECT_THROW(picture_grid({&empty, 1}), Error);
}

}  // namespace
}  // namespace tessera::io
