#include "datasets/emoji/glyphs.hpp"

#include <ft2build.h>
#include <hb-ft.h>
#include <hb.h>

#include <algorithm>
#include <mutex>
#include <string>

#include "base/error.hpp"
#include "datasets/system_file.hpp"
#include FT_FREETYPE_H

namespace tessera::datasets::emoji {

struct GlyphRenderer::Library {
  FT_Library freetype = nullptr;
  FT_Face face = nullptr;
  hb_font_t* font = nullptr;
  std::string path;
  mutable std::mutex one_at_a_time;  // a face holds one loaded glyph

  ~Library() {
    if (font != nullptr) hb_font_destroy(font);
    if (face != nullptr) FT_Done_Face(face);
    if (freetype != nullptr) FT_Done_FreeType(freetype);
  }
};

GlyphRenderer::GlyphRenderer(const std::filesystem::path& font) : library_(std::make_unique<Library>()) {
  require_system_file(font, "fonts-noto-color-emoji");
  library_->path = font.string();
  if (FT_Init_FreeType(&library_->freetype) != 0) throw Error("FreeType could not be started.");
  if (FT_New_Face(library_->freetype, font.c_str(), 0, &library_->face) != 0)
    throw Error("FreeType cannot read this font.", font.string(),
                "Reinstall the Debian package fonts-noto-color-emoji.");
  if (!FT_HAS_COLOR(library_->face) || library_->face->num_fixed_sizes < 1 ||
      FT_Select_Size(library_->face, 0) != 0)
    throw Error("This font has no colour bitmaps.", font.string(),
                "Give NotoColorEmoji.ttf of the Debian package fonts-noto-color-emoji.");
  library_->font = hb_ft_font_create_referenced(library_->face);
}

GlyphRenderer::~GlyphRenderer() = default;

std::optional<std::uint32_t> GlyphRenderer::glyph(std::u32string_view code_points) const {
  const std::lock_guard lock(library_->one_at_a_time);
  const std::unique_ptr<hb_buffer_t, decltype(&hb_buffer_destroy)> buffer(hb_buffer_create(),
                                                                          hb_buffer_destroy);
  static_assert(sizeof(char32_t) == sizeof(std::uint32_t));
  hb_buffer_add_utf32(buffer.get(), reinterpret_cast<const std::uint32_t*>(code_points.data()),
                      static_cast<int>(code_points.size()), 0, static_cast<int>(code_points.size()));
  hb_buffer_guess_segment_properties(buffer.get());
  // Otherwise a variation selector that the font has no use for stays behind as an empty glyph.
  hb_buffer_set_flags(buffer.get(), HB_BUFFER_FLAG_REMOVE_DEFAULT_IGNORABLES);
  hb_shape(library_->font, buffer.get(), nullptr, 0);
  unsigned count = 0;
  const hb_glyph_info_t* glyphs = hb_buffer_get_glyph_infos(buffer.get(), &count);
  if (count != 1 || glyphs[0].codepoint == 0) return std::nullopt;
  const FT_Int32 metrics_only = FT_LOAD_COLOR | FT_LOAD_BITMAP_METRICS_ONLY;
  if (FT_Load_Glyph(library_->face, glyphs[0].codepoint, metrics_only) != 0 ||
      library_->face->glyph->format != FT_GLYPH_FORMAT_BITMAP)
    return std::nullopt;
  return glyphs[0].codepoint;
}

io::ImageSize GlyphRenderer::bitmap_size() const {
  // The strike states its advance and line height; Noto's bitmaps fill the advance and are drawn to the em.
  const FT_Bitmap_Size& strike = library_->face->available_sizes[0];
  return {strike.width, strike.height};
}

io::Image GlyphRenderer::draw(std::uint32_t glyph) const {
  const std::lock_guard lock(library_->one_at_a_time);
  const auto refuse = [this, glyph](const std::string& why) {
    throw Error("Glyph " + std::to_string(glyph) + " cannot be drawn: " + why + ".", library_->path,
                "Reinstall the Debian package fonts-noto-color-emoji.");
  };
  if (FT_Load_Glyph(library_->face, glyph, FT_LOAD_COLOR) != 0) refuse("its bitmap is damaged");
  const FT_Bitmap& bitmap = library_->face->glyph->bitmap;
  if (bitmap.pixel_mode != FT_PIXEL_MODE_BGRA || bitmap.pitch < 0) refuse("it is not a colour bitmap");
  io::Image image(static_cast<int>(bitmap.width), static_cast<int>(bitmap.rows));
  for (int y = 0; y < image.height; ++y) {
    const unsigned char* row =
        bitmap.buffer + static_cast<std::size_t>(y) * static_cast<std::size_t>(bitmap.pitch);
    for (int x = 0; x < image.width; ++x) {
      // FreeType hands out blue, green, red already multiplied by alpha, so white adds 255 - alpha.
      const unsigned char* bgra = row + 4 * x;
      std::uint8_t* out = image.at(x, y);
      for (int c = 0; c < 3; ++c)
        out[c] = static_cast<std::uint8_t>(std::min(255, bgra[2 - c] + 255 - bgra[3]));
    }
  }
  return image;
}

}  // namespace tessera::datasets::emoji
