#include "datasets/concepts/report.hpp"

#include <nlohmann/json.hpp>

namespace tessera::datasets::concepts {
namespace {

using Json = nlohmann::ordered_json;

Json lengths(const Histogram& histogram) {
  return {{"total", histogram.total()},
          {"mean", histogram.mean()},
          {"median", histogram.median()},
          {"greatest", histogram.greatest()}};
}

Json data_set(const NamedStatistics& named, const ReportSettings& settings) {
  const ConceptStatistics& found = named.statistics;
  Json top = Json::array();
  for (const NounCount& each : found.top(settings.top)) {
    top.push_back({{"noun", each.noun}, {"count", each.count}});
  }
  return {{"name", named.name},
          {"images", found.images()},
          {"captions", found.captions()},
          {"words", lengths(found.words())},
          {"characters", lengths(found.characters())},
          {"nouns", found.nouns()},
          {"nouns_per_image", found.nouns_per_image()},
          {"nouns_per_caption", found.nouns_per_caption()},
          {"distinct_nouns", found.distinct_nouns()},
          {"valid_distinct_nouns", found.valid_nouns()},
          {"valid_share", found.valid_share()},
          {"valid_above", found.valid_above()},
          {"words_not_in_wordnet", found.unknown_words()},
          {"top", top}};
}

}  // namespace

std::string json_report(const std::vector<NamedStatistics>& data_sets, const ReportSettings& settings) {
  Json report{{"wordnet", settings.wordnet},
              {"unknown_words_are_nouns", settings.unknown_words},
              {"data_sets", Json::array()}};
  for (const NamedStatistics& named : data_sets) report["data_sets"].push_back(data_set(named, settings));
  return report.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace tessera::datasets::concepts
