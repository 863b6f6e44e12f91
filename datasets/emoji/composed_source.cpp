#include "datasets/emoji/composed_source.hpp"

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include "base/error.hpp"
#include "base/random.hpp"
#include "datasets/emoji/lists.hpp"
#include "io/resize.hpp"

namespace tessera::datasets::emoji {
namespace {

constexpr int kMargin = 12;  // around an emoji, so that what a bucket's crop cuts off is white

int cell_side(io::ImageSize emoji) { return std::min(emoji.width, emoji.height) + 2 * kMargin; }

io::ImageSize canvas_size(const Arrangement& arrangement, io::ImageSize emoji) {
  const int cell = cell_side(emoji);
  const int length = static_cast<int>(arrangement.parts) * cell;
  if (arrangement.square) return {length, length};
  return arrangement.column ? io::ImageSize{cell, length} : io::ImageSize{length, cell};
}

bool has_one_reading(const std::string& caption) {
  return caption.find(',') == std::string::npos && caption.find(" and ") == std::string::npos &&
         caption.find(" above ") == std::string::npos;
}

}  // namespace

io::Image compose(const Arrangement& arrangement, std::span<const io::Image> parts) {
  const int cell = cell_side(parts.front().size());
  const int side = cell - 2 * kMargin;
  const io::ImageSize size = canvas_size(arrangement, parts.front().size());
  io::Image canvas(size.width, size.height);
  for (std::size_t k = 0; k < parts.size(); ++k) {
    const int along = static_cast<int>(k) * cell + kMargin;
    const int across = ((arrangement.column ? canvas.width : canvas.height) - side) / 2;
    const io::Image part = io::centre_crop(parts[k], side, side);
    if (arrangement.column) {
      io::paste(canvas, part, across, along);
    } else {
      io::paste(canvas, part, along, across);
    }
  }
  return canvas;
}

ComposedSource::ComposedSource(const EmojiSource& emoji, const CompositionOptions& options)
    : emoji_(emoji), singles_(options.singles ? emoji.size() : 0) {
  std::vector<std::size_t> parts;
  for (std::size_t i = 0; i < emoji.size(); ++i) {
    if (!emoji.picture(i).held_out && has_one_reading(emoji.picture(i).caption)) parts.push_back(i);
  }
  add_held_out_pairs(parts);
  add_drawn(parts, options);
}

void ComposedSource::add_held_out_pairs(const std::vector<std::size_t>& parts) {
  const auto part = [&](const std::string& caption) -> std::optional<std::size_t> {
    const auto found =
        std::ranges::find_if(parts, [&](std::size_t i) { return emoji_.picture(i).caption == caption; });
    return found == parts.end() ? std::nullopt : std::optional(*found);
  };
  for (const auto& [first, second] : held_out_pairs()) {
    const auto a = part(first), b = part(second);
    if (!a || !b) continue;  // not in the subset that the source holds
    held_out_.emplace_back(*a, *b);
    for (const Arrangement& arrangement : kArrangements) {
      if (arrangement.parts != 2) continue;
      add({&arrangement, {*a, *b}}, true);
      add({&arrangement, {*b, *a}}, true);
    }
  }
}

void ComposedSource::add_drawn(const std::vector<std::size_t>& parts, const CompositionOptions& options) {
  // Of each arrangement at most half of what there is, so that drawing until one is new ends soon.
  const auto p = static_cast<double>(parts.size()), h = static_cast<double>(held_out_.size());
  const double of_two = p * (p - 1) - 2 * h, of_three = (p - 2) * (p * (p - 1) - 6 * h);
  const double most = 3 * std::max(0.0, std::min(of_two, of_three));
  if (static_cast<double>(options.count) > most) {
    throw Error(std::to_string(options.count) + " different pictures cannot be composed of the " +
                    std::to_string(parts.size()) + " emoji that may be; at most " +
                    std::to_string(static_cast<std::size_t>(most)) + ".",
                "composed emoji", "Ask for fewer, or choose a larger subset.");
  }
  const auto together = [&](std::size_t a, std::size_t b) {
    return a != b && std::ranges::none_of(held_out_, [&](const auto& pair) {
             return pair == std::pair(a, b) || pair == std::pair(b, a);
           });
  };
  const RandomStream stream(RandomKey{.seed = options.seed, .purpose = Purpose::augment});
  std::set<std::pair<const Arrangement*, std::vector<std::size_t>>> made;
  for (std::uint64_t i = 0; i < options.count; ++i) {
    const Arrangement& arrangement = kArrangements[i % kArrangements.size()];
    std::vector<std::size_t> drawn;
    for (std::uint64_t element = 0; drawn.empty();) {
      for (std::size_t k = 0; k < arrangement.parts; ++k) {
        drawn.push_back(parts[random_below(stream, i, element++, parts.size())]);
      }
      bool good = made.emplace(&arrangement, drawn).second;
      for (std::size_t k = 0; k < drawn.size(); ++k) {
        for (std::size_t j = 0; j < k; ++j) good = good && together(drawn[j], drawn[k]);
      }
      if (!good) drawn.clear();
    }
    add({&arrangement, std::move(drawn)}, false);
  }
}

void ComposedSource::add(Composition composition, bool held_out) {
  const Arrangement& arrangement = *composition.arrangement;
  Picture picture;
  picture.id = arrangement.square ? "square-" : "";
  picture.id += arrangement.column ? "column" : "row";
  const char* id_joint = ":";
  const char* caption_joint = "";
  for (const std::size_t part : composition.parts) {
    picture.id += std::exchange(id_joint, "+") + emoji_.picture(part).id;
    picture.caption +=
        std::exchange(caption_joint, arrangement.column ? " above " : " and ") + emoji_.picture(part).caption;
  }
  picture.group = "composed";
  picture.subgroup = arrangement.name;
  const Picture& first = emoji_.picture(composition.parts.front());
  const io::ImageSize size = canvas_size(arrangement, {first.original_width, first.original_height});
  picture.original_width = size.width;
  picture.original_height = size.height;
  picture.held_out = held_out;
  pictures_.push_back(std::move(picture));
  compositions_.push_back(std::move(composition));
}

const Picture& ComposedSource::picture(std::size_t index) const {
  return index < singles_ ? emoji_.picture(index) : pictures_.at(index - singles_);
}

io::Image ComposedSource::load(std::size_t index) const {
  if (index < singles_) return emoji_.load(index);
  const Composition& composition = compositions_.at(index - singles_);
  std::vector<io::Image> parts;
  for (const std::size_t part : composition.parts) parts.push_back(emoji_.load(part));
  return compose(*composition.arrangement, parts);
}

}  // namespace tessera::datasets::emoji
