#include "pairs.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "datasets/emoji/composed_source.hpp"
#include "datasets/emoji/lists.hpp"
#include "io/resize.hpp"
#include "real_pictures.hpp"

namespace tessera::quality {
namespace {

constexpr std::string_view joint = " and ";

const datasets::emoji::Arrangement& row_of_two() {
  const auto& all = datasets::emoji::kArrangements;
  const auto found =
      std::ranges::find_if(all, [](const auto& one) { return one.parts == 2 && !one.column && !one.square; });
  if (found == all.end()) throw Error("no arrangement of the emoji sets two side by side");
  return *found;
}

io::Image columns(const io::Image& picture, int begin, int end) {
  io::Image out(end - begin, picture.height);
  for (int y = 0; y < picture.height; ++y)
    std::copy_n(picture.at(begin, y), 3 * static_cast<std::size_t>(end - begin), out.at(0, y));
  return out;
}

enum class Side { left, right };

/// One half of every emoji beside itself.
std::vector<RealPicture> real_halves(const RealPairs& real, Side side, const Subject& without) {
  std::vector<RealPicture> pictures;
  for (const RealPicture& emoji : real.emoji()) {
    if (emoji.subject == without) continue;
    Halves halves = halves_of(real.compose({emoji.subject, emoji.subject}));
    pictures.push_back({emoji.subject, std::move(side == Side::left ? halves.left : halves.right)});
  }
  return pictures;
}

}  // namespace

Pair pair_of(std::string_view caption) {
  const std::size_t at = caption.find(joint);
  if (at == std::string_view::npos) {
    throw Error("'" + std::string(caption) + "' does not name two things", {},
                "Write \"red heart and blue square\".");
  }
  return {subject_of(caption.substr(0, at)), subject_of(caption.substr(at + joint.size()))};
}

std::string caption_of(const Pair& pair) {
  const auto name = [](const Subject& subject) { return subject.colour + " " + subject.shape; };
  return name(pair.left) + std::string(joint) + name(pair.right);
}

Halves halves_of(const io::Image& picture) {
  const int middle = picture.width / 2;
  return {columns(picture, 0, middle), columns(picture, middle, picture.width)};
}

RealPairs::RealPairs(io::ImageSize size) : size_(size), emoji_(real_emoji()) {}

const RealPicture* RealPairs::find(const Subject& subject) const {
  const auto found = std::ranges::find_if(emoji_, [&](const auto& one) { return one.subject == subject; });
  return found == emoji_.end() ? nullptr : &*found;
}

io::Image RealPairs::compose(const Pair& pair) const {
  std::array<io::Image, 2> parts;
  for (std::size_t k = 0; k < parts.size(); ++k) {
    const Subject& subject = k == 0 ? pair.left : pair.right;
    const RealPicture* const emoji = find(subject);
    if (emoji == nullptr) throw Error("there is no real picture", subject.colour + " " + subject.shape);
    parts[k] = emoji->image;
  }
  return io::resize_and_crop(datasets::emoji::compose(row_of_two(), parts), size_);
}

std::vector<Pair> RealPairs::held_out() const {
  std::vector<Pair> pairs;
  for (const auto& [first, second] : datasets::emoji::held_out_pairs()) {
    const Pair pair{subject_of(first), subject_of(second)};
    if (find(pair.left) == nullptr || find(pair.right) == nullptr) continue;  // "red apple"
    pairs.push_back(pair);
    pairs.push_back({pair.right, pair.left});
  }
  return pairs;
}

PairScorer::PairScorer(const RealPairs& real, const Pair& without)
    : left_(real_halves(real, Side::left, without.left)),
      right_(real_halves(real, Side::right, without.right)) {}

PairVerdict PairScorer::judge(const io::Image& picture, const Pair& asked) const {
  const Halves halves = halves_of(picture);
  return {left_.judge(halves.left, asked.left), right_.judge(halves.right, asked.right)};
}

}  // namespace tessera::quality
