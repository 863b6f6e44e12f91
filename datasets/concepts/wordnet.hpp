#pragma once
// Invariant: what a word may be comes from the files of WordNet 3.0 (Debian package wordnet-base, /usr/share/
// wordnet) and the rules of its manual page morphy(7WN), from nothing else. Words are read
// one by one, as taggers count them; of collocations ("teddy_bear") only nouns of two words are kept, to be
// asked for.
//
//   index.noun, .verb, .adj, .adv  the dictionary forms           (wndb(5WN))
//   noun.exc, verb.exc, adj.exc    irregular forms: "geese goose"
//   cntlist.rev                    how often each sense was found in text tagged by hand (cntlist(5WN))

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "datasets/concepts/vocabulary.hpp"

namespace tessera::datasets::concepts {

enum class PartOfSpeech : std::uint8_t { noun, verb, adjective, adverb };
inline constexpr std::size_t parts_of_speech = 4;

/// One way to read a word: the dictionary forms that it can come from.
struct Reading {
  bool possible = false;
  bool is_base = false;      ///< the word is itself a dictionary form
  std::uint64_t count = 0;   ///< occurrences of those dictionary forms in WordNet's tagged text
  std::string_view lemma{};  ///< the most frequent of them; valid as long as the WordNet
};

class WordNet {
 public:
  static constexpr const char* default_folder = "/usr/share/wordnet";
  static constexpr const char* package = "wordnet-base";

  /// Reads the files (12 MB) of a folder. @throws Error naming the package when one is missing, or the file
  /// when it is not what it should be.
  explicit WordNet(const std::filesystem::path& folder = default_folder);

  /// @param word  in lower case.
  [[nodiscard]] Reading read(std::string_view word, PartOfSpeech part) const;
  /// Whether two words together are a noun: "teddy" and "bear".
  [[nodiscard]] bool is_compound(std::string_view first, std::string_view second) const;

 private:
  struct Entry {
    std::array<bool, parts_of_speech> is{};
    std::array<std::uint32_t, parts_of_speech> count{};
  };
  using Exceptions = std::vector<std::vector<std::uint32_t>>;  // by the word's number in words_

  void load_index(const std::filesystem::path& file, PartOfSpeech part);
  void load_exceptions(const std::filesystem::path& file, PartOfSpeech part);
  void load_counts(const std::filesystem::path& file);
  [[nodiscard]] const Entry* dictionary_form(std::string_view word, PartOfSpeech part) const;

  Vocabulary words_;
  Vocabulary compounds_;        // "teddy_bear"
  std::vector<Entry> entries_;  // by number; words that are only irregular forms have an empty one
  std::array<Exceptions, parts_of_speech> exceptions_;
};

}  // namespace tessera::datasets::concepts
