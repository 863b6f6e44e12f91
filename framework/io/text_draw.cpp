#include "io/text_draw.hpp"

#include <algorithm>
#include <cstring>

#include "io/bitmap_font.hpp"

namespace tessera::io {
namespace {

// Takes one code point off the front; a byte that starts no UTF-8 sequence counts as one unknown character.
char32_t take_code_point(std::string_view& text) {
  const auto byte = [&text](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  const std::size_t length = lead < 0x80 ? 1 : lead < 0xC0 ? 0 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  if (length == 0 || length > text.size()) {
    text.remove_prefix(1);
    return 0xFFFD;
  }
  char32_t point = length == 1 ? lead : lead & (0x7Fu >> length);
  for (std::size_t i = 1; i < length; ++i) point = (point << 6) | (byte(i) & 0x3F);
  text.remove_prefix(length);
  return point;
}

std::string_view ascii_of(char32_t point) {
  // U+00C0 .. U+00FF in order, without their accents.
  static constexpr const char* latin[] = {
      "A", "A", "A", "A", "A", "A", "AE", "C", "E", "E", "E", "E", "I", "I", "I",  "I",   //
      "D", "N", "O", "O", "O", "O", "O",  "x", "O", "U", "U", "U", "U", "Y", "Th", "ss",  //
      "a", "a", "a", "a", "a", "a", "ae", "c", "e", "e", "e", "e", "i", "i", "i",  "i",   //
      "d", "n", "o", "o", "o", "o", "o",  "/", "o", "u", "u", "u", "u", "y", "th", "y"};
  if (point >= 0xC0 && point <= 0xFF) return latin[point - 0xC0];
  switch (point) {
    case 0xA0:
      return " ";
    case 0x2018:
    case 0x2019:
      return "'";
    case 0x201C:
    case 0x201D:
      return "\"";
    case 0x2010:
    case 0x2011:
    case 0x2012:
    case 0x2013:
    case 0x2014:
      return "-";
    case 0x2026:
      return "...";
    default:
      return "?";
  }
}

}  // namespace

std::string drawable_text(std::string_view utf8) {
  std::string text;
  while (!utf8.empty()) {
    const char32_t point = take_code_point(utf8);
    if (point >= ' ' && point <= '~')
      text.push_back(static_cast<char>(point));
    else if (point < ' ')
      text.push_back(' ');
    else
      text += ascii_of(point);
  }
  return text;
}

std::vector<std::string> wrap_text(std::string_view text, int columns, int max_lines) {
  const std::size_t width = static_cast<std::size_t>(std::max(columns, 1));
  std::vector<std::string> lines;
  std::string line;
  const auto flush = [&] {
    if (!line.empty()) lines.push_back(std::move(line));
    line.clear();
  };
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(' '), text.size());
    std::string_view word = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (word.empty()) continue;
    if (!line.empty() && line.size() + 1 + word.size() > width) flush();
    for (; word.size() > width; word.remove_prefix(width)) {
      line = word.substr(0, width);
      flush();
    }
    if (!line.empty()) line += ' ';
    line += word;
  }
  flush();
  if (max_lines > 0 && lines.size() > static_cast<std::size_t>(max_lines)) {
    lines.resize(static_cast<std::size_t>(max_lines));
    lines.back().resize(std::min(lines.back().size(), width > 2 ? width - 2 : 0));
    lines.back() += "..";
  }
  return lines;
}

int text_width(std::string_view line, int scale) {
  return line.empty() ? 0 : (static_cast<int>(line.size()) * glyph_advance - 1) * scale;
}

void draw_text(Image& image, int x, int y, std::string_view line, Rgb colour, int scale) {
  const auto fill = [&](int left, int top) {
    for (int py = std::max(top, 0); py < std::min(top + scale, image.height); ++py)
      for (int px = std::max(left, 0); px < std::min(left + scale, image.width); ++px) {
        std::uint8_t* pixel = image.at(px, py);
        pixel[0] = colour.r;
        pixel[1] = colour.g;
        pixel[2] = colour.b;
      }
  };
  for (const char character : line) {
    const Glyph& glyph = glyph_of(character);
    for (int row = 0; row < glyph_height; ++row)
      for (int column = 0; column < glyph_width; ++column)
        if ((glyph[static_cast<std::size_t>(row)] >> (glyph_width - 1 - column)) & 1)
          fill(x + column * scale, y + row * scale);
    x += glyph_advance * scale;
  }
}

}  // namespace tessera::io
