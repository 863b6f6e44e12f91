#pragma once
// Invariant: pictures are in the order of Unicode's list; held-out ones stay in the sequence, marked, so that
// training and evaluation read the same shards.

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "datasets/emoji/glyphs.hpp"
#include "datasets/source.hpp"

namespace tessera::datasets::emoji {

struct Options {
  std::string subset = "all";  ///< "all" or one of subset_names()
  bool skin_tones = false;     ///< also the variants with skin tones (3,655 pictures in place of 1,870)
  bool alternatives = true;    ///< key words of CLDR as alternative captions
  /// Pictures are the central squares of the font's bitmaps, whose white columns at either edge would else
  /// decide a picture's aspect bucket.
  bool square = false;
  std::filesystem::path emoji_test = "/usr/share/unicode/emoji/emoji-test.txt";
  std::filesystem::path annotations = "/usr/share/unicode/cldr/common/annotations/en.xml";
  std::filesystem::path annotations_derived = "/usr/share/unicode/cldr/common/annotationsDerived/en.xml";
  std::filesystem::path font = "/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf";
};

/// Emoji drawn from Debian's Noto Color Emoji and captioned with their Unicode names (DESIGN "datasets/").
/// load() gives the font's bitmap, 136 x 128, or its central square, 128 x 128, which loses nothing: no
/// bitmap reaches the four columns at either edge.
class EmojiSource final : public Source {
 public:
  /// @throws Error naming the Debian package of a missing file, or the subsets for an unknown one.
  explicit EmojiSource(const Options& options);

  [[nodiscard]] std::string name() const override { return "emoji"; }
  [[nodiscard]] std::size_t size() const override { return pictures_.size(); }
  [[nodiscard]] const Picture& picture(std::size_t index) const override { return pictures_.at(index); }
  [[nodiscard]] io::Image load(std::size_t index) const override;
  [[nodiscard]] std::vector<LeftOut> left_out() const override;

 private:
  GlyphRenderer renderer_;
  std::vector<Picture> pictures_;
  std::vector<std::uint32_t> glyphs_;
  std::size_t not_drawable_ = 0;
};

}  // namespace tessera::datasets::emoji
