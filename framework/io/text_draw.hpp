#pragma once
// Invariant: text is drawn with the built-in font, so that a machine without fonts draws the same picture.

#include <string>
#include <string_view>
#include <vector>

#include "io/image.hpp"

namespace tessera::io {

/// UTF-8 to printable ASCII for drawing: accents dropped (Latin-1 and a few beyond), curly quotes and dashes
/// straightened, anything else one '?', control characters a space.
std::string drawable_text(std::string_view utf8);

/// Breaks drawable text at spaces into lines of at most `columns` characters; longer words are cut, and the
/// last of `max_lines` lines ends in ".." if text is left over. max_lines = 0 keeps every line.
std::vector<std::string> wrap_text(std::string_view text, int columns, int max_lines = 0);

/// Width in pixels of a line at an integer scale.
int text_width(std::string_view line, int scale = 1);

/// Draws one line with its top left corner at (x, y); what falls outside the image is left out.
void draw_text(Image& image, int x, int y, std::string_view line, Rgb colour, int scale = 1);

}  // namespace tessera::io
