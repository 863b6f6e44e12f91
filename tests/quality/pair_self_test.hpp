#pragma once
// Invariant: the pair scorer is tried on real compositions, each judged by references measured without its
// two emoji, under its own prompt, under that with the sides exchanged, and under all others'.

#include <string>
#include <vector>

#include "io/image.hpp"

namespace tessera::quality {

/// Shares of pictures, 0 to 1.
struct PairShares {
  double colours = 0;  ///< both, each on its side
  double shapes = 0;
  double all = 0;
};

struct PairSelfTestRow {
  io::ImageSize size;
  std::string condition;  ///< what was done to the pictures
  std::size_t pictures = 0;
  PairShares right;     ///< each picture under its own prompt
  PairShares swapped;   ///< under its own with the sides exchanged
  PairShares permuted;  ///< under every other's: the mean over all permutations without fixed points
  [[nodiscard]] bool passed() const;
};

struct PairSelfTest {
  std::vector<PairSelfTestRow> rows;
  std::size_t empty_pictures = 0;      ///< noise, blank pictures, and one thing where two are asked for,
  std::size_t empty_judged_right = 0;  ///< and how many passed for a pair's colours
  [[nodiscard]] bool passed() const;
};

[[nodiscard]] PairSelfTest pair_self_test();

}  // namespace tessera::quality
