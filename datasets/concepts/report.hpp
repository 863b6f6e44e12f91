#pragma once
// Invariant: the JSON text is valid UTF-8 whatever the captions hold, and the same for the same captions.

#include <cstddef>
#include <string>
#include <vector>

#include "datasets/concepts/statistics.hpp"

namespace tessera::datasets::concepts {

/// Statistics under the name that a report gives them.
struct NamedStatistics {
  std::string name;
  ConceptStatistics statistics;
};

/// How the nouns were found, which the report tells, and how much of them to tell.
struct ReportSettings {
  std::string wordnet;         ///< its folder
  bool unknown_words = false;  ///< whether words that it lacks count as nouns
  std::size_t top = 0;         ///< how many of the most frequent nouns to list
};

/// {"wordnet", "data_sets": [{"name", "images", "captions", "words": {"mean", ...}, "nouns", ...}]},
/// indented.
[[nodiscard]] std::string json_report(const std::vector<NamedStatistics>& data_sets,
                                      const ReportSettings& settings);

}  // namespace tessera::datasets::concepts
