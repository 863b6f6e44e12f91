#include "datasets/concepts/noun_finder.hpp"

#include <algorithm>

#include "datasets/concepts/function_words.hpp"
#include "io/text_draw.hpp"

namespace tessera::datasets::concepts {
namespace {

constexpr std::size_t longest_word = 64;  // longer runs of letters are no words
constexpr double inflected_share = 0.25;
constexpr double context_factor = 4;
constexpr double head_start = 0.5;  // of the noun, where the tagged text has neither

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_word_character(char c) { return is_letter(c) || is_digit(c); }
char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

/// Whether an address on the web begins the text.
bool begins_address(std::string_view text) {
  for (const std::string_view start : {"http://", "https://", "www."}) {
    if (text.size() >= start.size() &&
        std::equal(start.begin(), start.end(), text.begin(), [](char a, char b) { return a == lower(b); })) {
      return true;
    }
  }
  return false;
}

/// Of a noun that is its own dictionary form: "bus", but neither "scissors" nor "people".
bool is_singular(std::string_view noun) {
  if (noun.ends_with('s')) return noun.ends_with("ss") || noun.ends_with("us");
  return noun != "people" && noun != "police" && noun != "cattle";
}

bool is_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

}  // namespace

NounFinder::NounFinder(const WordNet& wordnet, bool unknown_words)
    : wordnet_(wordnet), unknown_words_(unknown_words) {
  // Texts that no word can have.
  const auto stand_in = [this](std::string_view text, Role role, bool ends_phrase) {
    Form form;
    form.role = role;
    form.known = true;
    form.ends_phrase = ends_phrase;
    forms_.push_back(form);
    return words_.add(text);
  };
  break_ = stand_in(".", Role::other, true);
  possessive_ = stand_in("'s", Role::determiner, false);
  contraction_ = stand_in("n't", Role::before_verb, false);
  number_ = stand_in("0", Role::determiner, false);
}

const std::vector<std::uint32_t>& NounFinder::find(std::string_view caption) {
  caption_.clear();
  found_.clear();
  unknown_ = 0;
  if (is_ascii(caption)) {
    split(caption);
  } else {
    split(io::drawable_text(caption));  // accents dropped, curly apostrophes straightened
  }
  Context before;
  for (std::size_t i = 0; i < caption_.size(); ++i) {
    const Form& form = forms_[caption_[i]];
    const Form& next = forms_[i + 1 < caption_.size() ? caption_[i + 1] : break_];
    before.role = role_of(form, before, next);
    before.one = before.role == Role::determiner
                     ? form.one
                     : before.one && (before.role == Role::adjective || before.role == Role::noun);
    before.opens_phrase = before.role == Role::determiner && caption_[i] != number_;
    before.singular = form.singular;
    before.word = caption_[i];
    if (before.role == Role::noun) found_.push_back(form.noun);
    if (!form.known) ++unknown_;
  }
  return found_;
}

NounFinder::Role NounFinder::role_of(const Form& form, const Context& before, const Form& next) const {
  if (form.noun == Vocabulary::none) return form.role;
  bool verb = false;
  switch (before.role) {
    case Role::determiner:
    case Role::adjective:
      break;
    case Role::before_verb:
      verb = form.can_be_verb;
      break;
    case Role::preposition:
      verb = form.verb_after_preposition;
      break;
    case Role::noun:
      if (before.one && before.singular && form.plural) {
        verb = form.can_be_verb;
      } else {
        verb = before.singular ? form.verb_after_singular : form.verb_after_noun;
        verb = verb && !wordnet_.is_compound(words_.text(before.word), nouns_.text(form.noun));
      }
      break;
    case Role::verb:
    case Role::other:
      verb = form.verb;
  }
  if (verb) return Role::verb;
  if (before.opens_phrase && next.ends_phrase) return Role::noun;
  return (next.likely_noun ? form.adjective_before_noun : form.adjective) ? Role::adjective : Role::noun;
}

// Cuts an ASCII text into words and what separates them.
void NounFinder::split(std::string_view text) {
  const auto at = [text](std::size_t i) { return i < text.size() ? text[i] : ' '; };
  for (std::size_t i = 0; i < text.size();) {
    if (!is_word_character(text[i])) {
      const char c = text[i++];
      if (c != ' ' && c != '\t' && c != '\n' && c != '\r') caption_.push_back(break_);
      continue;
    }
    const std::size_t begin = i;
    if (begins_address(text.substr(begin))) {
      i = std::min(text.find_first_of(" \t\r\n", i), text.size());
      caption_.push_back(break_);
      continue;
    }
    while (is_word_character(at(i)) ||
           ((at(i) == '\'' || at(i) == '-') && i > begin && is_word_character(at(i + 1)))) {
      ++i;
    }
    split_word(text.substr(begin, i - begin));
  }
}

// A run of letters and digits with apostrophes and hyphens inside.
void NounFinder::split_word(std::string_view word) {
  lower_.assign(word);
  std::transform(lower_.begin(), lower_.end(), lower_.begin(), lower);
  std::string_view left = lower_;
  std::uint32_t after = Vocabulary::none;
  if (const std::size_t apostrophe = left.rfind('\''); apostrophe != std::string_view::npos) {
    const std::string_view ending = left.substr(apostrophe + 1);
    if (ending == "s") {
      left.remove_suffix(2);
      // "he's" is short for a verb; "the dog's" is not, or seldom
      after = function_word(left) == FunctionWord::none ? possessive_ : contraction_;
    } else if (ending == "t" || ending == "re" || ending == "ll" || ending == "ve" || ending == "m" ||
               ending == "d") {
      caption_.push_back(contraction_);
      return;
    }
  }
  const bool compound = left.find('-') != std::string_view::npos;
  if (!compound || (left.size() <= longest_word && forms_[form_of(left)].known)) {
    add_form(left);
  } else {
    while (!left.empty()) {
      const std::size_t end = std::min(left.find('-'), left.size());
      if (end > 0) add_form(left.substr(0, end));
      left.remove_prefix(std::min(end + 1, left.size()));
    }
  }
  if (after != Vocabulary::none) caption_.push_back(after);
}

void NounFinder::add_form(std::string_view word) {
  if (std::all_of(word.begin(), word.end(), is_digit)) {
    caption_.push_back(number_);
  } else if (word.size() > longest_word || std::any_of(word.begin(), word.end(), is_digit)) {
    caption_.push_back(break_);
  } else {
    caption_.push_back(form_of(word));
  }
}

std::uint32_t NounFinder::form_of(std::string_view word) {
  const std::uint32_t number = words_.add(word);
  if (number == forms_.size()) forms_.push_back(make_form(word));
  return number;
}

NounFinder::Form NounFinder::make_form(std::string_view word) {
  Form form;
  const FunctionWord kind = function_word(word);
  form.known = true;
  form.ends_phrase =
      kind == FunctionWord::auxiliary || kind == FunctionWord::modal || kind == FunctionWord::preposition;
  switch (kind) {
    case FunctionWord::determiner:
      form.role = Role::determiner;
      form.one = word == "a" || word == "an" || word == "each" || word == "every" || word == "another";
      return form;
    case FunctionWord::before_verb:
    case FunctionWord::modal:
      form.role = Role::before_verb;
      return form;
    case FunctionWord::preposition:
      form.role = Role::preposition;
      return form;
    case FunctionWord::auxiliary:
    case FunctionWord::other:
      return form;
    case FunctionWord::none:
      break;
  }
  if (word.size() < 2) return form;
  const Reading noun = wordnet_.read(word, PartOfSpeech::noun);
  const Reading verb = wordnet_.read(word, PartOfSpeech::verb);
  const Reading adjective = wordnet_.read(word, PartOfSpeech::adjective);
  const Reading adverb = wordnet_.read(word, PartOfSpeech::adverb);
  const bool other = adjective.possible || adverb.possible;
  form.known = noun.possible || verb.possible || other;
  if (!form.known) {
    if (!unknown_words_ || word.find('-') != std::string_view::npos) return form;
    form.noun = nouns_.add(word);
    form.likely_noun = true;
    return form;
  }
  const double v = static_cast<double>(verb.count) * (verb.is_base ? 1 : inflected_share);
  const auto a = static_cast<double>(std::max(adjective.count, adverb.count));
  form.role = verb.possible && (!other || v > a) ? Role::verb
              : adjective.possible               ? Role::adjective
                                                 : Role::other;
  if (!noun.possible || (word.size() == 2 && noun.count == 0)) return form;

  const double n = static_cast<double>(noun.count) + head_start;
  form.noun = nouns_.add(noun.lemma);
  form.can_be_verb = verb.possible;
  const bool ing = word.ends_with("ing");
  form.verb = v > n;
  form.verb_after_noun = ing ? context_factor * v > n : form.verb;
  form.verb_after_singular = verb.is_base ? v > context_factor * context_factor * n : form.verb_after_noun;
  form.plural = noun.lemma != word && word.ends_with('s');
  form.singular = noun.is_base && noun.lemma == word && is_singular(word);
  form.verb_after_preposition = ing && v > context_factor * n;
  form.adjective = other && a > n;
  form.adjective_before_noun = other && context_factor * a > n;
  form.likely_noun = static_cast<double>(noun.count) >= v + a;
  return form;
}

}  // namespace tessera::datasets::concepts
