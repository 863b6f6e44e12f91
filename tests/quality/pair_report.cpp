#include "pair_report.hpp"

#include <nlohmann/json.hpp>

#include "format.hpp"

namespace tessera::quality {
namespace {

std::string colours_of(const PairVerdict& verdict) {
  return colour_seen(verdict.left) + "+" + colour_seen(verdict.right);
}

nlohmann::json as_json(const PairTotals& totals) {
  return {{"pictures", totals.pictures},
          {"left_colour_right", totals.left},
          {"right_colour_right", totals.right},
          {"both_colours_right", totals.colours},
          {"colours_exchanged", totals.exchanged},
          {"both_shapes_right", totals.shapes},
          {"all_right", totals.all}};
}

nlohmann::json as_json(const PairShares& shares) {
  return {{"colours", shares.colours}, {"shapes", shares.shapes}, {"all", shares.all}};
}

nlohmann::json as_json(const PairVerdict& verdict) {
  return {{"left", as_json(verdict.left)}, {"right", as_json(verdict.right)}};
}

}  // namespace

bool PairTotals::reach_aim() const {
  return pictures > 0 && static_cast<double>(colours) > aimed_pairs * static_cast<double>(pictures);
}

PairTotals total(const std::vector<JudgedPair>& judged) {
  PairTotals totals;
  for (const JudgedPair& one : judged) {
    const Pair asked = pair_of(one.caption);
    const PairVerdict& verdict = one.verdict;
    const bool exchanged = verdict.left.nearest_colour == asked.right.colour &&
                           verdict.right.nearest_colour == asked.left.colour;
    ++totals.pictures;
    totals.left += verdict.left.colour_right ? 1 : 0;
    totals.right += verdict.right.colour_right ? 1 : 0;
    totals.colours += verdict.colours_right() ? 1 : 0;
    totals.shapes += verdict.shapes_right() ? 1 : 0;
    totals.all += verdict.all_right() ? 1 : 0;
    totals.exchanged += exchanged ? 1 : 0;
  }
  return totals;
}

std::string table(const std::vector<JudgedPair>& judged) {
  std::string out = text("%-33s %7s %7s %7s %7s %5s  %s\n", "caption", "left", "right", "colours", "shapes",
                         "all", "colours seen");
  for_each_caption(judged, judged_pairs, [&](const std::string& caption, const std::vector<JudgedPair>& own) {
    const PairTotals row = total(own);
    out += text("%-33s %4zu/%-2zu %4zu/%-2zu %4zu/%-2zu %4zu/%-2zu %5zu  ", caption.c_str(), row.left,
                row.pictures, row.right, row.pictures, row.colours, row.pictures, row.shapes, row.pictures,
                row.all);
    out += counts_of(own, colours_of) + "\n";
  });
  const PairTotals all = total(judged);
  out += text("both colours on their sides %3zu of %zu: %5.1f %%  (aim: more than %.0f %%)\n", all.colours,
              all.pictures, percent(all.colours, all.pictures), 100 * aimed_pairs);
  out += text("sides exchanged             %3zu of %zu\n", all.exchanged, all.pictures);
  out += text("both shapes right           %3zu of %zu: %5.1f %%; colours and shapes: %zu\n", all.shapes,
              all.pictures, percent(all.shapes, all.pictures), all.all);
  return out;
}

std::string json(const std::vector<JudgedPair>& judged, const std::string& checkpoint) {
  const PairTotals all = total(judged);
  return nlohmann::json{
      {"checkpoint", checkpoint},
      {"captions",
       captions_json(
           judged, judged_pairs, [](const std::vector<JudgedPair>& own) { return as_json(total(own)); },
           [](const PairVerdict& verdict) { return as_json(verdict); })},
      {"total", as_json(all)},
      {"reaches_aim", all.reach_aim()}}
      .dump(2);
}

void write_grid(const std::filesystem::path& file, const std::vector<JudgedPair>& judged) {
  write_rows(file, judged, judged_pairs, [](const JudgedPair& one) { return colours_of(one.verdict); });
}

std::string table(const PairSelfTest& test) {
  std::string out;
  for (const PairSelfTestRow& row : test.rows) {
    out += text("%zu real compositions, %d x %d, %s: %s\n", row.pictures, row.size.width, row.size.height,
                row.condition.c_str(), row.passed() ? "passed" : "FAILED");
    const auto line = [&](const char* prompts, const PairShares& shares) {
      out += text("  %-16s colours %5.1f %%  shapes %5.1f %%  all %5.1f %%\n", prompts, 100 * shares.colours,
                  100 * shares.shapes, 100 * shares.all);
    };
    line("own prompts", row.right);
    line("sides exchanged", row.swapped);
    line("others' prompts", row.permuted);
  }
  out += text("noise, blank and half-empty pictures that passed for a pair: %zu of %zu\n",
              test.empty_judged_right, test.empty_pictures);
  return out;
}

std::string json(const PairSelfTest& test) {
  nlohmann::json rows = nlohmann::json::array();
  for (const PairSelfTestRow& row : test.rows) {
    rows.push_back({{"width", row.size.width},
                    {"height", row.size.height},
                    {"condition", row.condition},
                    {"pictures", row.pictures},
                    {"own_prompts", as_json(row.right)},
                    {"sides_exchanged", as_json(row.swapped)},
                    {"other_prompts", as_json(row.permuted)},
                    {"passed", row.passed()}});
  }
  return nlohmann::json{{"rows", rows},
                        {"empty_pictures", test.empty_pictures},
                        {"empty_judged_right", test.empty_judged_right},
                        {"passed", test.passed()}}
      .dump(2);
}

}  // namespace tessera::quality
