#pragma once
// Invariant: the words of the closed classes of English, which WordNet does not have: they are never nouns,
// and tell what the word beside them may be.

#include <cstdint>
#include <string_view>

namespace tessera::datasets::concepts {

enum class FunctionWord : std::uint8_t {
  none,
  determiner,   ///< "the", "my", "several": a noun or its adjective follows
  before_verb,  ///< "to", "they", "not": if the next word can be a verb, it is one
  auxiliary,    ///< "is", "has"
  modal,        ///< "can", "will": an auxiliary before a verb
  preposition,  ///< "of", "with"
  other,        ///< conjunctions, pronouns, particles, exclamations
};

/// @param word  in lower case.
[[nodiscard]] FunctionWord function_word(std::string_view word);

}  // namespace tessera::datasets::concepts
