#pragma once
// Invariant: memory is proportional to the different words and the different caption lengths, never to the
// number of captions. The measures are those of PixArt-alpha (arXiv 2310.00426, Table 1): distinct nouns
// (DN), valid distinct nouns (VN), those that occur more than 10 times, nouns in all, and nouns per image.

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "datasets/concepts/noun_finder.hpp"

namespace tessera::datasets::concepts {

/// How often each whole number came.
class Histogram {
 public:
  void add(std::uint64_t value);
  [[nodiscard]] std::uint64_t count() const { return count_; }
  [[nodiscard]] std::uint64_t total() const { return total_; }  ///< sum of the values
  /// 0 when nothing came.
  [[nodiscard]] double mean() const;
  /// The middle value, or the mean of the two in the middle; exact.
  [[nodiscard]] double median() const;
  [[nodiscard]] std::uint64_t greatest() const;

 private:
  [[nodiscard]] std::uint64_t at(std::uint64_t rank) const;
  std::vector<std::uint64_t> small_;  // by value; what most captions need
  std::map<std::uint64_t, std::uint64_t> large_;
  std::uint64_t count_ = 0, total_ = 0;
};

struct NounCount {
  std::string noun;
  std::uint64_t count = 0;
};

/// What is known about one data set's captions.
class ConceptStatistics {
 public:
  /// @param finder  must outlive this; several statistics may share it.
  /// @param valid_above  a noun is valid when it occurs more often than this.
  explicit ConceptStatistics(NounFinder& finder, std::uint64_t valid_above = 10)
      : finder_(finder), valid_above_(valid_above) {}

  void add_image() { ++images_; }
  /// One caption of the image that was added last.
  void add_caption(std::string_view caption);

  [[nodiscard]] std::uint64_t images() const { return images_; }
  [[nodiscard]] std::uint64_t captions() const { return words_.count(); }
  [[nodiscard]] const Histogram& words() const { return words_; }            ///< separated by white space
  [[nodiscard]] const Histogram& characters() const { return characters_; }  ///< Unicode code points
  [[nodiscard]] std::uint64_t nouns() const { return nouns_; }
  [[nodiscard]] std::uint64_t distinct_nouns() const { return distinct_; }  ///< DN
  [[nodiscard]] std::uint64_t valid_nouns() const { return valid_; }        ///< VN
  [[nodiscard]] double valid_share() const;                                 ///< VN / DN; 0 without nouns
  [[nodiscard]] double nouns_per_image() const;
  [[nodiscard]] double nouns_per_caption() const;
  /// Words that WordNet lacks; with NounFinder's unknown_words they are among the nouns.
  [[nodiscard]] std::uint64_t unknown_words() const { return unknown_; }
  [[nodiscard]] std::uint64_t valid_above() const { return valid_above_; }
  /// The most frequent nouns, those of equal frequency in alphabetical order.
  [[nodiscard]] std::vector<NounCount> top(std::size_t count) const;

 private:
  NounFinder& finder_;
  std::uint64_t valid_above_;
  std::uint64_t images_ = 0, nouns_ = 0, distinct_ = 0, valid_ = 0, unknown_ = 0;
  Histogram words_, characters_;
  std::vector<std::uint64_t> counts_;  // by the noun's number
};

}  // namespace tessera::datasets::concepts
