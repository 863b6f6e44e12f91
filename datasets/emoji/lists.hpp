#pragma once
// Invariant: the committed .txt lists of this folder are compiled in, so that an installed program needs no
// data folder. A name in a list that the emoji list does not know is an error, never silently nothing.

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "datasets/emoji/emoji_list.hpp"

namespace tessera::datasets::emoji {

/// The base captions of held_out.txt: never trained on.
const std::set<std::string>& held_out_captions();

/// Two captions in the order of the file.
using CaptionPair = std::pair<std::string, std::string>;

/// held_out_pairs.txt: no training picture shows both, in any order or arrangement.
const std::vector<CaptionPair>& held_out_pairs();

/// Names of the committed subsets (subsets/*.txt), in alphabetical order; "all" is not among them.
std::vector<std::string> subset_names();

/// Rules that pick entries: lines "+ subgroup S", "- subgroup S", "+ caption C", "- caption C", "# comment".
/// An entry is in if the last rule that names it says so. Captions are base captions.
class Subset {
 public:
  /// @throws Error with `name` and line number if a rule is malformed.
  Subset(std::string_view text, const std::string& name);

  /// A committed subset. @throws Error that lists the names if there is none called so.
  static Subset named(const std::string& name);

  [[nodiscard]] bool contains(const Entry& entry) const;
  /// @throws Error for a rule that names no entry.
  void check_against(const std::vector<Entry>& entries) const;

 private:
  struct Rule {
    bool include = true;
    bool by_caption = true;
    std::string value;
    std::size_t line = 0;
  };
  std::string name_;
  std::vector<Rule> rules_;
};

}  // namespace tessera::datasets::emoji
