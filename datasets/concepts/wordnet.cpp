#include "datasets/concepts/wordnet.hpp"

#include <algorithm>
#include <charconv>
#include <utility>

#include "base/error.hpp"
#include "datasets/system_file.hpp"

namespace tessera::datasets::concepts {
namespace {

constexpr std::array<const char*, parts_of_speech> suffixes{"noun", "verb", "adj", "adv"};

struct Detachment {
  std::string_view ending, replacement;
};

/// The table "Rules of Detachment" of morphy(7WN), in its order.
const std::vector<Detachment>& detachments(PartOfSpeech part) {
  static const std::array<std::vector<Detachment>, parts_of_speech> tables{{
      {{"s", ""},
       {"ses", "s"},
       {"xes", "x"},
       {"zes", "z"},
       {"ches", "ch"},
       {"shes", "sh"},
       {"men", "man"},
       {"ies", "y"}},
      {{"s", ""}, {"ies", "y"}, {"es", "e"}, {"es", ""}, {"ed", "e"}, {"ed", ""}, {"ing", "e"}, {"ing", ""}},
      {{"er", ""}, {"est", ""}, {"er", "e"}, {"est", "e"}},
      {},
  }};
  return tables[static_cast<std::size_t>(part)];
}

/// Calls `line(text, number)` for every line of a file of the package.
template <class Line>
void for_each_line(const std::filesystem::path& file, const Line& line) {
  const std::string content = read_system_text(file, WordNet::package);
  std::string_view rest = content;
  for (std::size_t number = 1; !rest.empty(); ++number) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    line(rest.substr(0, end), number);
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
}

[[noreturn]] void refuse(const std::filesystem::path& file, std::size_t line, const std::string& why) {
  throw Error("This is no file of WordNet 3.0: " + why + ".", file.string() + ":" + std::to_string(line),
              "Install the Debian package " + std::string(WordNet::package) +
                  " anew, or name the folder that holds WordNet's files.");
}

std::string_view first_word(std::string_view& line) {
  const std::size_t end = std::min(line.find(' '), line.size());
  const std::string_view word = line.substr(0, end);
  line.remove_prefix(std::min(end + 1, line.size()));
  return word;
}

bool is_single(std::string_view word) { return word.find('_') == std::string_view::npos; }

}  // namespace

WordNet::WordNet(const std::filesystem::path& folder) {
  for (std::size_t i = 0; i < parts_of_speech; ++i) {
    load_index(folder / (std::string("index.") + suffixes[i]), static_cast<PartOfSpeech>(i));
  }
  load_counts(folder / "cntlist.rev");
  for (const PartOfSpeech part : {PartOfSpeech::noun, PartOfSpeech::verb, PartOfSpeech::adjective}) {
    load_exceptions(folder / (std::string(suffixes[static_cast<std::size_t>(part)]) + ".exc"), part);
  }
  entries_.resize(words_.size());
}

void WordNet::load_index(const std::filesystem::path& file, PartOfSpeech part) {
  const char letter = "nvar"[static_cast<std::size_t>(part)];
  std::size_t found = 0;
  for_each_line(file, [&](std::string_view line, std::size_t number) {
    if (line.starts_with("  ")) return;  // the licence
    const std::string_view lemma = first_word(line);
    if (lemma.empty() || first_word(line) != std::string_view(&letter, 1))
      refuse(file, number, "the line is no entry of this part of speech");
    if (!is_single(lemma)) {
      const bool two = lemma.find('_') == lemma.rfind('_');
      if (two && part == PartOfSpeech::noun) (void)compounds_.add(lemma);
      return;
    }
    const std::uint32_t word = words_.add(lemma);
    if (word >= entries_.size()) entries_.resize(word + 1);
    entries_[word].is[static_cast<std::size_t>(part)] = true;
    ++found;
  });
  if (found == 0) refuse(file, 1, "it holds no word");
}

// Lines "lemma%TYPE:NN:NN:head:NN SENSE COUNT", where TYPE is 1 noun, 2 verb, 3 and 5 adjective, 4 adverb.
void WordNet::load_counts(const std::filesystem::path& file) {
  for_each_line(file, [&](std::string_view line, std::size_t number) {
    const std::string_view key = first_word(line);
    const std::size_t percent = key.rfind('%');
    const std::string_view lemma = key.substr(0, std::min(percent, key.size()));
    (void)first_word(line);
    std::uint32_t count = 0;
    const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), count);
    const std::size_t type =
        percent == std::string_view::npos ? 0 : std::string_view(" 12345").find(key.substr(percent + 1, 1));
    if (lemma.empty() || type == 0 || type > 5 || error != std::errc() || end != line.data() + line.size())
      refuse(file, number, "the line is no count of a sense");
    constexpr std::array<std::size_t, 6> part_of_type{0, 0, 1, 2, 3, 2};
    const std::uint32_t word = words_.find(lemma);
    if (word != Vocabulary::none) entries_[word].count[part_of_type[type]] += count;
  });
}

void WordNet::load_exceptions(const std::filesystem::path& file, PartOfSpeech part) {
  Exceptions& exceptions = exceptions_[static_cast<std::size_t>(part)];
  for_each_line(file, [&](std::string_view line, std::size_t number) {
    const std::string_view form = first_word(line);
    if (form.empty() || line.empty()) refuse(file, number, "the line names no dictionary form");
    if (!is_single(form)) return;
    const std::uint32_t word = words_.add(form);
    if (word >= exceptions.size()) exceptions.resize(word + 1);
    while (!line.empty()) {
      const std::string_view lemma = first_word(line);
      const std::uint32_t base = words_.find(lemma);
      std::vector<std::uint32_t>& bases = exceptions[word];
      if (dictionary_form(lemma, part) != nullptr &&
          std::find(bases.begin(), bases.end(), base) == bases.end())
        bases.push_back(base);  // the lists say some things twice
    }
  });
}

const WordNet::Entry* WordNet::dictionary_form(std::string_view word, PartOfSpeech part) const {
  const std::uint32_t number = words_.find(word);
  if (number >= entries_.size() || !entries_[number].is[static_cast<std::size_t>(part)]) return nullptr;
  return &entries_[number];
}

bool WordNet::is_compound(std::string_view first, std::string_view second) const {
  return compounds_.find(std::string(first) + "_" + std::string(second)) != Vocabulary::none;
}

Reading WordNet::read(std::string_view word, PartOfSpeech part) const {
  const auto at = static_cast<std::size_t>(part);
  Reading reading;
  std::uint64_t most = 0;
  const auto take = [&](std::uint32_t number) {
    const std::uint64_t count = entries_[number].count[at];
    if (!reading.possible || count > most) {
      reading.lemma = words_.text(number);
      most = count;
    }
    reading.possible = true;
    reading.count += count;
  };
  const std::uint32_t number = words_.find(word);
  if (dictionary_form(word, part) != nullptr) {
    take(number);
    reading.is_base = true;
  }
  bool irregular = false;
  if (number < exceptions_[at].size()) {
    for (const std::uint32_t lemma : exceptions_[at][number]) {
      if (lemma != number) take(lemma);
      irregular = true;
    }
  }
  // A plural may be a dictionary form itself ("eyes"), but "glass" and "us" are no plurals.
  const bool plural = part == PartOfSpeech::noun && word.size() > 2 && !word.ends_with("ss");
  if (irregular || (part == PartOfSpeech::noun ? !plural : reading.is_base)) return reading;
  for (const Detachment& rule : detachments(part)) {
    if (!word.ends_with(rule.ending) || word.size() == rule.ending.size()) continue;
    const std::string lemma =
        std::string(word.substr(0, word.size() - rule.ending.size())) + std::string(rule.replacement);
    if (dictionary_form(lemma, part) == nullptr) continue;
    if (words_.find(lemma) != number) take(words_.find(lemma));
    break;
  }
  return reading;
}

}  // namespace tessera::datasets::concepts
