#pragma once
// Invariant: the table and the JSON text say the same.

#include <filesystem>
#include <string>
#include <vector>

#include "judged.hpp"
#include "scorer.hpp"
#include "self_test.hpp"

namespace tessera::quality {

/// What the project aims at, as shares of all judged pictures.
inline constexpr double aimed_colours = 0.8;
inline constexpr double aimed_shapes = 0.6;

using Judged = JudgedPicture<Verdict>;

struct Totals {
  std::size_t pictures = 0, colour = 0, shape = 0, both = 0, shape_nearest = 0;
  double overlap = 0;  ///< mean
  [[nodiscard]] bool reach_aims() const;
};

[[nodiscard]] Totals total(const std::vector<Judged>& judged);

/// A row per caption and the totals.
[[nodiscard]] std::string table(const std::vector<Judged>& judged);
[[nodiscard]] std::string json(const std::vector<Judged>& judged, const std::string& checkpoint);
/// A row per caption, each picture with its verdict under it.
void write_grid(const std::filesystem::path& file, const std::vector<Judged>& judged);

[[nodiscard]] std::string table(const SelfTest& test);
[[nodiscard]] std::string json(const SelfTest& test);

}  // namespace tessera::quality
