#pragma once
// Invariant: the table and the JSON text say the same.

#include <filesystem>
#include <string>
#include <vector>

#include "judged.hpp"
#include "pair_self_test.hpp"
#include "pairs.hpp"

namespace tessera::quality {

/// What the project aims at: more than this share of all judged pictures has both colours on their sides.
inline constexpr double aimed_pairs = 0.5;

using JudgedPair = JudgedPicture<PairVerdict>;

struct PairTotals {
  std::size_t pictures = 0, left = 0, right = 0, colours = 0, shapes = 0, all = 0;
  std::size_t exchanged = 0;  ///< both colours, each on the other's side
  [[nodiscard]] bool reach_aim() const;
};

[[nodiscard]] PairTotals total(const std::vector<JudgedPair>& judged);

/// A row per caption and the totals.
[[nodiscard]] std::string table(const std::vector<JudgedPair>& judged);
[[nodiscard]] std::string json(const std::vector<JudgedPair>& judged, const std::string& checkpoint);
/// A row per caption as in the table, each picture with the colours that were seen under it.
void write_grid(const std::filesystem::path& file, const std::vector<JudgedPair>& judged);

[[nodiscard]] std::string table(const PairSelfTest& test);
[[nodiscard]] std::string json(const PairSelfTest& test);

}  // namespace tessera::quality
