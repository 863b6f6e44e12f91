#pragma once
// Invariant: a composed picture shows its parts in the order in which its caption names them: left to right
// for "red heart and green apple", top to bottom for "red heart above green apple". No picture to train on
// shows both parts of a held-out pair (held_out_pairs.txt), whatever stands between them, nor any held-out
// emoji; each held-out pair stands in the sequence, marked held out, in both orders and all arrangements of
// two.

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "datasets/emoji/emoji_source.hpp"

namespace tessera::datasets::emoji {

struct CompositionOptions {
  std::size_t count = 0;   ///< pictures to train on; no two have the same parts in the same places
  std::uint64_t seed = 0;  ///< chooses them
  bool singles = true;     ///< the single emoji come before them
};

/// How emoji are set on a white canvas of equal cells.
struct Arrangement {
  const char* name;   ///< subgroup of its pictures, "row of two"
  std::size_t parts;  ///< 2 or 3
  bool column;        ///< top to bottom, joined by "above"; false: left to right, joined by "and"
  bool square;        ///< on a square canvas, centred; false: the canvas is as long as its cells
};
inline constexpr std::array<Arrangement, 6> kArrangements{{{"row of two", 2, false, false},
                                                           {"column of two", 2, true, false},
                                                           {"row of three", 3, false, false},
                                                           {"column of three", 3, true, false},
                                                           {"square row of two", 2, false, true},
                                                           {"square column of two", 2, true, true}}};

/// The central squares of pictures of one size, each in the middle of its cell.
/// @pre as many as the arrangement has parts.
[[nodiscard]] io::Image compose(const Arrangement& arrangement, std::span<const io::Image> parts);

/// Pictures of two or three emoji of a source, all arrangements equally often. Parts are drawn evenly from
/// the emoji that are not held out and whose captions have no comma, no "and" and no "above": captions keep
/// one reading. Group "composed".
class ComposedSource final : public Source {
 public:
  /// @param emoji  kept by reference.
  /// @throws Error when the emoji do not make that many different pictures.
  ComposedSource(const EmojiSource& emoji, const CompositionOptions& options);

  [[nodiscard]] std::string name() const override { return "composed-emoji"; }
  [[nodiscard]] std::size_t size() const override { return singles_ + pictures_.size(); }
  [[nodiscard]] const Picture& picture(std::size_t index) const override;
  [[nodiscard]] io::Image load(std::size_t index) const override;
  [[nodiscard]] std::vector<LeftOut> left_out() const override { return emoji_.left_out(); }

 private:
  struct Composition {
    const Arrangement* arrangement;
    std::vector<std::size_t> parts;  // indices into emoji_
  };
  void add(Composition composition, bool held_out);
  void add_held_out_pairs(const std::vector<std::size_t>& parts);
  void add_drawn(const std::vector<std::size_t>& parts, const CompositionOptions& options);

  const EmojiSource& emoji_;
  std::size_t singles_;
  std::vector<std::pair<std::size_t, std::size_t>> held_out_;  // pairs of indices into emoji_
  std::vector<Composition> compositions_;
  std::vector<Picture> pictures_;  // of compositions_
};

}  // namespace tessera::datasets::emoji
