#include "datasets/concepts/function_words.hpp"

#include <sstream>
#include <string>
#include <unordered_map>

namespace tessera::datasets::concepts {
namespace {

struct Class {
  FunctionWord kind;
  const char* words;
};

constexpr Class classes[] = {
    {FunctionWord::determiner,
     "a an the this that these those some any no every each all both another either neither my our your his "
     "her its their whose several many few"},
    {FunctionWord::before_verb, "to i you we they he she it who not let please"},
    {FunctionWord::auxiliary, "am is are was were be been being do does did done doing have has had having"},
    {FunctionWord::modal, "can cannot could may might must shall should will would"},
    {FunctionWord::preposition,
     "of in on at by for from with without into onto over under between among through during before after"},
    {FunctionWord::other,
     "such what which whom whoever me mine myself us ours ourselves yours yourself yourselves him himself "
     "hers herself itself them theirs themselves one ones oneself other others someone somebody something "
     "anyone anybody anything everyone everybody everything nobody nothing none "
     "off out above below since until till against about around across along behind beside besides beneath "
     "beyond near inside outside past toward towards upon within via per as like than except despite up down "
     "amid "
     "amidst alongside atop "
     "and or but nor so yet if because although though while whereas unless whether when where why how plus "
     "there here then now very too also just only even still again ever never always more most less least "
     "much own same yes oh hi hello hey wow ok okay bye etc am pm ii iii ca wo na gon"},
};

}  // namespace

FunctionWord function_word(std::string_view word) {
  static const auto table = [] {
    std::unordered_map<std::string, FunctionWord> words;
    for (const Class& one : classes) {
      std::istringstream list(one.words);
      for (std::string each; list >> each;) words.emplace(each, one.kind);  // the first class counts
    }
    return words;
  }();
  const auto found = table.find(std::string(word));
  return found == table.end() ? FunctionWord::none : found->second;
}

}  // namespace tessera::datasets::concepts
