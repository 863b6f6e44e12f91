#pragma once
// Invariant: reports of single things and of pairs differ only in what is said about a verdict; what runs
// over captions and pictures is here.

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/picture_grid.hpp"
#include "io/png.hpp"
#include "scorer.hpp"

namespace tessera::quality {

template <class Verdict>
struct JudgedPicture {
  std::string caption;
  std::uint64_t seed = 0;
  io::Image image;
  Verdict verdict;
};

template <class Verdict>
using JudgedPictures = std::vector<JudgedPicture<Verdict>>;

inline std::string colour_seen(const Verdict& verdict) {
  return verdict.nearest_colour.empty() ? "nothing" : verdict.nearest_colour;
}

inline nlohmann::json as_json(const Verdict& verdict) {
  return {{"nearest_colour", verdict.nearest_colour},
          {"nearest_shape", verdict.nearest_shape},
          {"colour_distance", verdict.colour_distance},
          {"overlap", verdict.overlap}};
}

/// Calls `visit(caption, pictures)` for each caption that has any, in the order of `captions`.
template <class Verdict, class Visit>
void for_each_caption(const JudgedPictures<Verdict>& judged, std::span<const std::string_view> captions,
                      const Visit& visit) {
  for (const std::string_view caption : captions) {
    JudgedPictures<Verdict> own;
    std::ranges::copy_if(judged, std::back_inserter(own),
                         [&](const auto& one) { return one.caption == caption; });
    if (!own.empty()) visit(std::string(caption), own);
  }
}

/// "blue 6, green 2", by `seen(verdict)`: what was seen instead says more than a count of failures.
template <class Verdict, class Seen>
std::string counts_of(const JudgedPictures<Verdict>& judged, const Seen& seen) {
  std::map<std::string, int> counts;
  for (const auto& one : judged) ++counts[seen(one.verdict)];
  std::string list;
  for (const auto& [what, count] : counts)
    list += (list.empty() ? "" : ", ") + what + " " + std::to_string(count);
  return list;
}

/// One object per caption: `totals_json(pictures)` and under "samples" each `sample_json(verdict)` with its
/// seed.
template <class Verdict, class TotalsJson, class SampleJson>
nlohmann::json captions_json(const JudgedPictures<Verdict>& judged,
                             std::span<const std::string_view> captions, const TotalsJson& totals_json,
                             const SampleJson& sample_json) {
  nlohmann::json all = nlohmann::json::array();
  for_each_caption(judged, captions, [&](const std::string& caption, const JudgedPictures<Verdict>& own) {
    nlohmann::json entry = totals_json(own);
    entry["caption"] = caption;
    for (const auto& one : own) {
      nlohmann::json sample = sample_json(one.verdict);
      sample["seed"] = one.seed;
      entry["samples"].push_back(std::move(sample));
    }
    all.push_back(std::move(entry));
  });
  return all;
}

/// A row of pictures per caption, `label(picture)` under each.
template <class Verdict, class Label>
void write_rows(const std::filesystem::path& file, const JudgedPictures<Verdict>& judged,
                std::span<const std::string_view> captions, const Label& label) {
  std::vector<io::Tile> tiles;
  std::size_t columns = 0;
  for_each_caption(judged, captions, [&](const std::string&, const JudgedPictures<Verdict>& own) {
    for (const auto& one : own) tiles.push_back({one.image, label(one)});
    columns = std::max(columns, own.size());
  });
  io::GridOptions options;
  options.columns = static_cast<int>(columns);
  io::write_png(file, io::picture_grid(tiles, options));
}

}  // namespace tessera::quality
