#pragma once
// Invariant: the font is complete for printable ASCII (32..126); every glyph fits a cell of
// glyph_width x glyph_height pixels, of which the last two rows hold descenders only.

#include <array>
#include <cstdint>

namespace tessera::io {

inline constexpr int glyph_width = 5;
inline constexpr int glyph_height = 9;
inline constexpr int glyph_advance = 6;  ///< one empty column between letters
inline constexpr int line_advance = 11;

/// The rows of a glyph from the top; bit 4 is the leftmost pixel.
using Glyph = std::array<std::uint8_t, glyph_height>;

/// The glyph of a character; that of '?' for anything but printable ASCII.
const Glyph& glyph_of(char character);

}  // namespace tessera::io
