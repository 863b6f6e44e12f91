#pragma once
// Invariant: a picture of two things side by side is judged half by half, each half as a picture of its own:
// by the colours and silhouettes that the same half of real compositions has.

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "scorer.hpp"

namespace tessera::quality {

/// The pairs that are judged: the first of datasets/emoji/held_out_pairs.txt. No training picture shows both,
/// each of the two is trained alone and in other pairs.
inline constexpr std::array<std::string_view, 6> judged_pairs{
    "red heart and blue square",     "green heart and yellow circle", "blue heart and orange circle",
    "orange heart and green square", "red circle and green heart",    "purple circle and yellow square"};

/// Width over height of the pictures.
inline constexpr double pair_shape = 2;

struct Pair {
  Subject left, right;
  bool operator==(const Pair&) const = default;
};

/// @throws Error for a caption that is not two subjects joined by "and".
[[nodiscard]] Pair pair_of(std::string_view caption);
[[nodiscard]] std::string caption_of(const Pair& pair);

struct Halves {
  io::Image left, right;
};
/// The middle column of an odd width is the right half's.
[[nodiscard]] Halves halves_of(const io::Image& picture);

struct PairVerdict {
  Verdict left, right;
  [[nodiscard]] bool colours_right() const { return left.colour_right && right.colour_right; }
  /// Both of at least least_overlap, and no other shape fits better.
  [[nodiscard]] bool shapes_right() const { return left.shape_nearest && right.shape_nearest; }
  [[nodiscard]] bool all_right() const { return colours_right() && shapes_right(); }
};

/// Compositions of the real emoji, prepared as for training at one size.
class RealPairs {
 public:
  /// @throws Error when the font or Unicode's lists are not installed.
  explicit RealPairs(io::ImageSize size);

  /// @throws Error for a subject that is none of the real pictures.
  [[nodiscard]] io::Image compose(const Pair& pair) const;
  /// The held-out pairs of the real pictures' subjects, each in both orders.
  [[nodiscard]] std::vector<Pair> held_out() const;
  [[nodiscard]] const std::vector<RealPicture>& emoji() const { return emoji_; }

 private:
  [[nodiscard]] const RealPicture* find(const Subject& subject) const;

  io::ImageSize size_;
  std::vector<RealPicture> emoji_;
};

class PairScorer {
 public:
  /// Measures every real emoji in either half, but for the two of `without`.
  PairScorer(const RealPairs& real, const Pair& without = {});

  /// @throws Error for a colour or shape that no real picture has, or a picture of another size.
  [[nodiscard]] PairVerdict judge(const io::Image& picture, const Pair& asked) const;

 private:
  Scorer left_, right_;
};

}  // namespace tessera::quality
