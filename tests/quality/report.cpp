#include "report.hpp"

#include <map>
#include <nlohmann/json.hpp>

#include "format.hpp"
#include "io/picture_grid.hpp"
#include "io/png.hpp"

namespace tessera::quality {
namespace {

/// "blue 6, green 2": what was seen instead says more than a count of failures.
std::string colours_seen(const std::vector<Judged>& judged, std::string_view caption) {
  std::map<std::string, int> seen;
  for (const Judged& one : judged) {
    if (one.caption == caption)
      ++seen[one.verdict.nearest_colour.empty() ? "nothing" : one.verdict.nearest_colour];
  }
  std::string list;
  for (const auto& [colour, count] : seen)
    list += (list.empty() ? "" : ", ") + colour + " " + std::to_string(count);
  return list;
}

nlohmann::json as_json(const Totals& totals) {
  return {{"pictures", totals.pictures},           {"colour_right", totals.colour},
          {"shape_right", totals.shape},           {"both_right", totals.both},
          {"shape_nearest", totals.shape_nearest}, {"mean_overlap", totals.overlap}};
}

nlohmann::json as_json(const Shares& shares) {
  return {{"colour", shares.colour},
          {"shape", shares.shape},
          {"both", shares.both},
          {"shape_nearest", shares.shape_nearest}};
}

}  // namespace

bool Totals::reach_aims() const {
  const auto all = static_cast<double>(pictures);
  return pictures > 0 && static_cast<double>(colour) >= aimed_colours * all &&
         static_cast<double>(shape) >= aimed_shapes * all;
}

Totals total(const std::vector<Judged>& judged, std::string_view caption) {
  Totals totals;
  for (const Judged& one : judged) {
    if (!caption.empty() && one.caption != caption) continue;
    ++totals.pictures;
    totals.colour += one.verdict.colour_right ? 1 : 0;
    totals.shape += one.verdict.shape_right ? 1 : 0;
    totals.both += one.verdict.right() ? 1 : 0;
    totals.shape_nearest += one.verdict.shape_nearest ? 1 : 0;
    totals.overlap += one.verdict.overlap;
  }
  if (totals.pictures > 0) totals.overlap /= static_cast<double>(totals.pictures);
  return totals;
}

Totals total(const std::vector<Judged>& judged) { return total(judged, {}); }

std::string table(const std::vector<Judged>& judged) {
  std::string out = text("%-15s %8s %8s %6s %9s %10s  %s\n", "caption", "colour", "shape", "both", "nearest",
                         "mean IoU", "colours seen");
  for (const std::string_view caption : judged_captions) {
    const Totals row = total(judged, caption);
    if (row.pictures == 0) continue;
    out += text("%-15s %5zu/%-2zu %5zu/%-2zu %6zu %9zu %10.3f  ", std::string(caption).c_str(), row.colour,
                row.pictures, row.shape, row.pictures, row.both, row.shape_nearest, row.overlap);
    out += colours_seen(judged, caption) + "\n";
  }
  const Totals all = total(judged);
  out += text("colour right    %3zu of %zu: %5.1f %%  (aim %.0f %%)\n", all.colour, all.pictures,
              percent(all.colour, all.pictures), 100 * aimed_colours);
  out += text("shape right     %3zu of %zu: %5.1f %%  (aim %.0f %%: IoU with the mean silhouette >= %.1f)\n",
              all.shape, all.pictures, percent(all.shape, all.pictures), 100 * aimed_shapes, least_overlap);
  out += text("  and no other shape fits better: %zu; colour and shape both right: %zu\n", all.shape_nearest,
              all.both);
  return out;
}

std::string json(const std::vector<Judged>& judged, const std::string& checkpoint) {
  nlohmann::json captions = nlohmann::json::array();
  for (const std::string_view caption : judged_captions) {
    const Totals row = total(judged, caption);
    if (row.pictures == 0) continue;
    nlohmann::json entry = as_json(row);
    entry["caption"] = caption;
    for (const Judged& one : judged) {
      if (one.caption != caption) continue;
      entry["samples"].push_back({{"seed", one.seed},
                                  {"nearest_colour", one.verdict.nearest_colour},
                                  {"nearest_shape", one.verdict.nearest_shape},
                                  {"colour_distance", one.verdict.colour_distance},
                                  {"overlap", one.verdict.overlap}});
    }
    captions.push_back(std::move(entry));
  }
  const Totals all = total(judged);
  return nlohmann::json{{"checkpoint", checkpoint},
                        {"captions", captions},
                        {"total", as_json(all)},
                        {"reaches_aims", all.reach_aims()}}
      .dump(2);
}

void write_grid(const std::filesystem::path& file, const std::vector<Judged>& judged) {
  std::vector<io::Tile> tiles;
  int columns = 0;
  for (const std::string_view caption : judged_captions) {
    int in_row = 0;
    for (const Judged& one : judged) {
      if (one.caption != caption) continue;
      ++in_row;
      const std::string seen = one.verdict.nearest_colour.empty() ? "nothing" : one.verdict.nearest_colour;
      tiles.push_back({one.image, one.caption + ": " + seen + text(" %.2f", one.verdict.overlap)});
    }
    columns = std::max(columns, in_row);
  }
  io::GridOptions options;
  options.columns = columns;
  io::write_png(file, io::picture_grid(tiles, options));
}

std::string table(const SelfTest& test) {
  std::string out;
  for (const SelfTestRow& row : test.rows) {
    out += text("%zu real pictures, %d x %d, %s: %s\n", row.pictures, row.side, row.side,
                row.condition.c_str(), row.passed() ? "passed" : "FAILED");
    out += text("  own prompts     colour %5.1f %%  shape %5.1f %%  both %5.1f %%  nearest shape %5.1f %%\n",
                100 * row.right.colour, 100 * row.right.shape, 100 * row.right.both,
                100 * row.right.shape_nearest);
    out += text(
        "  others' prompts colour %5.1f %%  shape %5.1f %%  both %5.1f %%  another shape nearest "
        "%5.1f %%\n",
        100 * row.permuted.colour, 100 * row.permuted.shape, 100 * row.permuted.both, 100 * row.other_shape);
  }
  out += text("noise and blank pictures that passed for a colour or a shape: %zu of %zu\n",
              test.empty_judged_right, test.empty_pictures);
  out += text("greatest distance of a conversion to Lab from its published value: %.3f\n", test.worst_colour);
  return out;
}

std::string json(const SelfTest& test) {
  nlohmann::json rows = nlohmann::json::array();
  for (const SelfTestRow& row : test.rows) {
    rows.push_back({{"side", row.side},
                    {"condition", row.condition},
                    {"pictures", row.pictures},
                    {"own_prompts", as_json(row.right)},
                    {"other_prompts", as_json(row.permuted)},
                    {"other_shape", row.other_shape},
                    {"passed", row.passed()}});
  }
  return nlohmann::json{{"rows", rows},
                        {"worst_colour", test.worst_colour},
                        {"empty_pictures", test.empty_pictures},
                        {"empty_judged_right", test.empty_judged_right},
                        {"passed", test.passed()}}
      .dump(2);
}

}  // namespace tessera::quality
