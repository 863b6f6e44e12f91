#include "report.hpp"

#include <nlohmann/json.hpp>

#include "format.hpp"

namespace tessera::quality {
namespace {

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

Totals total(const std::vector<Judged>& judged) {
  Totals totals;
  for (const Judged& one : judged) {
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

std::string table(const std::vector<Judged>& judged) {
  std::string out = text("%-15s %8s %8s %6s %9s %10s  %s\n", "caption", "colour", "shape", "both", "nearest",
                         "mean IoU", "colours seen");
  for_each_caption(judged, judged_captions, [&](const std::string& caption, const std::vector<Judged>& own) {
    const Totals row = total(own);
    out += text("%-15s %5zu/%-2zu %5zu/%-2zu %6zu %9zu %10.3f  ", caption.c_str(), row.colour, row.pictures,
                row.shape, row.pictures, row.both, row.shape_nearest, row.overlap);
    out += counts_of(own, colour_seen) + "\n";
  });
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
  const Totals all = total(judged);
  return nlohmann::json{{"checkpoint", checkpoint},
                        {"captions", captions_json(
                                         judged, judged_captions,
                                         [](const std::vector<Judged>& own) { return as_json(total(own)); },
                                         [](const Verdict& verdict) { return as_json(verdict); })},
                        {"total", as_json(all)},
                        {"reaches_aims", all.reach_aims()}}
      .dump(2);
}

void write_grid(const std::filesystem::path& file, const std::vector<Judged>& judged) {
  write_rows(file, judged, judged_captions, [](const Judged& one) {
    return one.caption + ": " + colour_seen(one.verdict) + text(" %.2f", one.verdict.overlap);
  });
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
