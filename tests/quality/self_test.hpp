#pragma once
// Invariant: the scorer is tried on pictures whose content is known, each judged by references measured
// without it, so that no picture is compared with itself.

#include <string>
#include <vector>

namespace tessera::quality {

/// Shares of pictures, 0 to 1.
struct Shares {
  double colour = 0;
  double shape = 0;  ///< overlap of at least least_overlap
  double both = 0;
  double shape_nearest = 0;
};

struct SelfTestRow {
  int side = 0;
  std::string condition;  ///< what was done to the pictures
  std::size_t pictures = 0;
  Shares right;     ///< each picture under its own prompt
  Shares permuted;  ///< each picture under every other's: the mean over all permutations without fixed points
  double other_shape = 0;  ///< shape_nearest under the prompts of other shapes
  [[nodiscard]] bool passed() const;
};

inline constexpr double least_on_real = 0.95;
inline constexpr double most_on_permuted = 0.25;
inline constexpr double most_colour_error = 0.05;

struct SelfTest {
  double worst_colour = 0;  ///< greatest distance of a conversion to Lab from its published value
  std::vector<SelfTestRow> rows;
  std::size_t empty_pictures = 0;      ///< noise and blank pictures tried,
  std::size_t empty_judged_right = 0;  ///< and how many passed for a colour or a shape
  [[nodiscard]] bool passed() const;
};

[[nodiscard]] SelfTest self_test();

}  // namespace tessera::quality
