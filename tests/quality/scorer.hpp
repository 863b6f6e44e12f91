#pragma once
// Invariant: a picture is judged by two measurements that know nothing of the model: the palette's colour
// nearest to its foreground in Lab space, and how far its foreground covers the mean silhouette of the shape.
// Palette and silhouettes are measured on real pictures prepared at the side of those to be judged.

#include <array>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "foreground.hpp"
#include "io/image.hpp"

namespace tessera::quality {

/// The combinations that are judged: held out (datasets/emoji/held_out.txt), their colours and shapes each
/// trained in other combinations.
inline constexpr std::array<std::string_view, 6> judged_captions{
    "purple heart", "yellow heart", "green circle", "blue circle", "orange square", "red square"};

/// "at least 0.6 of the union" is what the project calls a shape that was drawn as asked.
inline constexpr double least_overlap = 0.6;

struct Subject {
  std::string colour;
  std::string shape;
  bool operator==(const Subject&) const = default;
};

/// "purple heart" -> purple, heart. @throws Error for a caption that is not two words.
[[nodiscard]] Subject subject_of(std::string_view caption);

/// A real picture, with what it is known to show.
struct RealPicture {
  Subject subject;
  io::Image image;
};

struct Verdict {
  std::string nearest_colour;  ///< empty without a foreground
  std::string nearest_shape;   ///< of greatest overlap; empty without a foreground
  double colour_distance = 0;  ///< to the palette's colour of that name
  double overlap = 0;          ///< with the silhouette of the shape that was asked for
  bool colour_right = false;
  bool shape_right = false;  ///< overlap of at least least_overlap
  /// shape_right, and no other shape fits better: a disc covers 0.785 of the square around it.
  bool shape_nearest = false;
  [[nodiscard]] bool right() const { return colour_right && shape_right; }
};

class Scorer {
 public:
  /// @param pictures  all of one size, of every colour and shape to be told apart.
  /// @throws Error when they differ in size or one has no foreground.
  explicit Scorer(const std::vector<RealPicture>& pictures);

  /// @throws Error for a colour or shape that no real picture had, or a picture of another size.
  [[nodiscard]] Verdict judge(const io::Image& picture, const Subject& asked) const;

  [[nodiscard]] const std::map<std::string, Lab>& palette() const { return palette_; }
  [[nodiscard]] const std::map<std::string, Mask>& silhouettes() const { return silhouettes_; }

 private:
  io::ImageSize size_;
  std::map<std::string, Lab> palette_;       ///< mean over the shapes
  std::map<std::string, Mask> silhouettes_;  ///< set where at least half of the colours are
};

}  // namespace tessera::quality
