#pragma once
// Invariant: a caption always gives the same nouns; the order in which captions come changes nothing. Memory
// is proportional to the different words met.
//
// A word counts as a noun if WordNet has it as one and neither another reading nor the words beside it say
// otherwise. Readings are weighed by how often their dictionary forms (n, v, a: as noun, verb, adjective or
// adverb) occur in WordNet's tagged text:
//   1. function words ("the", "of", "is"), words with digits, and single letters are no nouns; words of two
//      letters only if the tagged text has them as nouns;
//   2. after a determiner, a number, a possessive or an adjective a word is no verb ("a red stop sign");
//      after "to", a pronoun or a modal it is a verb if it can be one ("they watch"); after a preposition it
//      is none unless it ends in -ing; elsewhere it is one if v > n. An inflected form ("parking") has v / 4,
//      since most uses of a verb are in other forms; after a noun an -ing form has 4 times that ("a woman
//      cooking dinner"), after a preposition a quarter; after a singular noun the infinitive, which would not
//      agree, has v / 16 ("a stop sign"); after a singular noun with "a" a form in -s is a verb if it can be
//      one, since no plural fits there ("a cat sleeps"), but what WordNet has as a noun of two words ("teddy
//      bear") ends in no verb;
//   3. of what is left, it is an adjective if a > n, or before a likely noun 4 a > n ("a light wood desk"),
//      but not between a determiner and the end of a phrase ("on the left").
// Hyphenated words that WordNet lacks count part by part. Words are counted one by one: "ice cream" is two.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "datasets/concepts/vocabulary.hpp"
#include "datasets/concepts/wordnet.hpp"

namespace tessera::datasets::concepts {

class NounFinder {
 public:
  /// @param unknown_words  take words that WordNet lacks (names, codes, misspellings) as nouns too, each
  /// form as its own.
  explicit NounFinder(const WordNet& wordnet, bool unknown_words = false);

  /// The nouns of a caption in their order, each as a number of nouns(); valid until the next call.
  /// @param caption  UTF-8; letters beyond Latin separate words.
  [[nodiscard]] const std::vector<std::uint32_t>& find(std::string_view caption);
  /// Dictionary forms, in lower case.
  [[nodiscard]] const Vocabulary& nouns() const { return nouns_; }
  /// Words of the last caption that WordNet lacks.
  [[nodiscard]] std::size_t unknown() const { return unknown_; }

 private:
  /// What a word is found to be, as far as the next word asks.
  enum class Role : std::uint8_t { other, determiner, preposition, before_verb, adjective, verb, noun };

  /// All that the rules ask about a word, however often it comes.
  struct Form {
    std::uint32_t noun = Vocabulary::none;  ///< number in nouns_; none when it cannot be a noun
    Role role = Role::other;                ///< unless it is a noun
    bool known = false;                     ///< to WordNet or as a function word
    bool ends_phrase = false;               ///< auxiliaries and prepositions
    bool can_be_verb = false;
    bool verb = false, verb_after_noun = false, verb_after_singular = false, verb_after_preposition = false;
    bool adjective = false, adjective_before_noun = false;
    bool likely_noun = false;
    bool one = false;                       ///< a determiner of one thing: "a"
    bool singular = false, plural = false;  ///< as a noun
  };

  /// The word before.
  struct Context {
    std::uint32_t word = 0;  ///< its number in words_
    Role role = Role::other;
    bool one = false;           ///< in a phrase that "a" or the like began
    bool opens_phrase = false;  ///< a determiner or possessive
    bool singular = false;      ///< a singular noun, if a noun
  };

  void split(std::string_view caption);
  void split_word(std::string_view word);
  void add_form(std::string_view word);
  std::uint32_t form_of(std::string_view word);
  [[nodiscard]] Form make_form(std::string_view word);
  [[nodiscard]] Role role_of(const Form& form, const Context& before, const Form& next) const;

  const WordNet& wordnet_;
  bool unknown_words_;
  Vocabulary words_;
  std::vector<Form> forms_;  // by number in words_
  Vocabulary nouns_;
  std::uint32_t break_, possessive_, contraction_, number_;  // forms that stand for no word
  std::vector<std::uint32_t> caption_;                       // forms of the words of the caption
  std::vector<std::uint32_t> found_;
  std::string lower_;
  std::size_t unknown_ = 0;
};

}  // namespace tessera::datasets::concepts
