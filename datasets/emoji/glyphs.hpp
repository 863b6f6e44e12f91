#pragma once
// Invariant: a sequence is drawn only if the font shapes it to exactly one glyph, so that no picture shows
// the pieces of a sequence side by side.

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string_view>

#include "io/image.hpp"

namespace tessera::datasets::emoji {

/// Draws emoji from a font with embedded colour bitmaps (CBDT), at the bitmaps' own size.
class GlyphRenderer {
 public:
  /// @throws Error naming the package if the font is missing, or if it has no colour bitmaps.
  explicit GlyphRenderer(const std::filesystem::path& font);
  ~GlyphRenderer();

  /// The font's glyph for the whole sequence (ZWJ, flags and key caps joined); none if it takes several.
  [[nodiscard]] std::optional<std::uint32_t> glyph(std::u32string_view code_points) const;

  /// Size of the font's bitmaps (136 x 128 in Noto Color Emoji).
  [[nodiscard]] io::ImageSize bitmap_size() const;

  /// A glyph of bitmap_size() on white. Thread-safe. @throws Error if the bitmap is damaged.
  [[nodiscard]] io::Image draw(std::uint32_t glyph) const;

 private:
  struct Library;
  std::unique_ptr<Library> library_;
};

}  // namespace tessera::datasets::emoji
