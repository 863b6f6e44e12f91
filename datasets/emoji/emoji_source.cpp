#include "datasets/emoji/emoji_source.hpp"

#include <algorithm>
#include <cstdio>
#include <optional>

#include "base/error.hpp"
#include "datasets/emoji/annotations.hpp"
#include "datasets/emoji/emoji_list.hpp"
#include "datasets/emoji/lists.hpp"
#include "io/resize.hpp"

namespace tessera::datasets::emoji {
namespace {

// "1f468-200d-1f9b0": the usual file name of an emoji.
std::string id_of(std::u32string_view code_points) {
  std::string id;
  for (const char32_t c : code_points) {
    char hex[16];
    std::snprintf(hex, sizeof hex, "%s%x", id.empty() ? "" : "-", static_cast<unsigned>(c));
    id += hex;
  }
  return id;
}

// Key words that say something the caption does not, and that do not name a held-out picture.
std::vector<std::string> alternatives_of(const Entry& entry, const Annotations& annotations) {
  std::vector<std::string> words;
  const auto found = annotations.find(annotation_key(entry.code_points));
  if (found == annotations.end()) return words;
  for (const std::string& word : found->second) {
    const std::string clean = clean_name(word);
    if (clean != entry.caption && clean != entry.base_caption && !held_out_captions().contains(clean))
      words.push_back(clean);
  }
  return words;
}

}  // namespace

EmojiSource::EmojiSource(const Options& options) : renderer_(options.font) {
  const std::vector<Entry> entries = read_emoji_test(options.emoji_test);
  std::optional<Subset> subset;
  if (options.subset != "all") {
    subset = Subset::named(options.subset);
    subset->check_against(entries);
  }
  Annotations annotations;
  if (options.alternatives) {
    read_annotations(options.annotations, annotations);
    read_annotations(options.annotations_derived, annotations);
  }
  io::ImageSize size = renderer_.bitmap_size();
  if (options.square) size.width = size.height = std::min(size.width, size.height);
  for (const Entry& entry : entries) {
    if (entry.skin_tone && !options.skin_tones) continue;
    if (subset && !subset->contains(entry)) continue;
    const auto glyph = renderer_.glyph(entry.code_points);
    if (!glyph) {
      ++not_drawable_;
      continue;
    }
    Picture picture;
    picture.id = id_of(entry.code_points);
    picture.caption = entry.caption;
    picture.alternative_captions = alternatives_of(entry, annotations);
    picture.group = entry.group;
    picture.subgroup = entry.subgroup;
    picture.original_width = size.width;
    picture.original_height = size.height;
    picture.held_out = held_out_captions().contains(entry.base_caption);
    pictures_.push_back(std::move(picture));
    glyphs_.push_back(*glyph);
  }
  if (pictures_.empty())
    throw Error("The font draws none of the chosen emoji.", options.font.string(),
                "Give NotoColorEmoji.ttf of the Debian package fonts-noto-color-emoji.");
}

io::Image EmojiSource::load(std::size_t index) const {
  const io::Image bitmap = renderer_.draw(glyphs_.at(index));
  const Picture& about = pictures_.at(index);
  return io::centre_crop(bitmap, std::min(bitmap.width, about.original_width),
                         std::min(bitmap.height, about.original_height));
}

std::vector<LeftOut> EmojiSource::left_out() const {
  if (not_drawable_ == 0) return {};
  return {{"the font has no single glyph for the sequence", not_drawable_}};
}

}  // namespace tessera::datasets::emoji
