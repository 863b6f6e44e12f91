#include "datasets/emoji/lists.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "emoji_list_texts.hpp"  // written by the build from the .txt files

namespace tessera::datasets::emoji {
namespace {

// Calls visit(line, number) for every line that is not empty or a comment.
template <class Visit>
void for_each_rule(std::string_view text, Visit visit) {
  std::size_t number = 0;
  while (!text.empty()) {
    const auto end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text = end == std::string_view::npos ? std::string_view{} : text.substr(end + 1);
    ++number;
    while (!line.empty() && (line.back() == ' ' || line.back() == '\r')) line.remove_suffix(1);
    if (!line.empty() && line.front() != '#') visit(line, number);
  }
}

const std::map<std::string, std::string_view>& subset_texts() {
  static const std::map<std::string, std::string_view> texts(std::begin(texts::subsets),
                                                             std::end(texts::subsets));
  return texts;
}

}  // namespace

const std::set<std::string>& held_out_captions() {
  static const std::set<std::string> captions = [] {
    std::set<std::string> set;
    for_each_rule(texts::held_out, [&set](std::string_view line, std::size_t) { set.emplace(line); });
    return set;
  }();
  return captions;
}

const std::vector<CaptionPair>& held_out_pairs() {
  static const std::vector<CaptionPair> pairs = [] {
    std::vector<CaptionPair> list;
    for_each_rule(texts::held_out_pairs, [&list](std::string_view line, std::size_t number) {
      static constexpr std::string_view separator = " + ";
      const auto at = line.find(separator);
      if (at == std::string_view::npos)
        throw Error("'" + std::string(line) + "' is not a pair of captions.",
                    "held_out_pairs.txt:" + std::to_string(number), "Write 'caption + caption'.");
      list.emplace_back(line.substr(0, at), line.substr(at + separator.size()));
    });
    return list;
  }();
  return pairs;
}

std::vector<std::string> subset_names() {
  std::vector<std::string> names;
  for (const auto& [name, text] : subset_texts()) names.push_back(name);
  return names;
}

Subset::Subset(std::string_view text, const std::string& name) : name_(name) {
  for_each_rule(text, [this](std::string_view line, std::size_t number) {
    static constexpr std::string_view subgroup = "subgroup ", caption = "caption ";
    Rule rule;
    rule.line = number;
    rule.include = line.front() == '+';
    const bool marked = (line.front() == '+' || line.front() == '-') && line.size() > 2 && line[1] == ' ';
    const std::string_view rest = marked ? line.substr(2) : std::string_view{};
    rule.by_caption = rest.starts_with(caption);
    if (!rule.by_caption && !rest.starts_with(subgroup))
      throw Error("'" + std::string(line) + "' is not a rule of a subset.",
                  name_ + ":" + std::to_string(number),
                  "Write '+' or '-', then 'caption' or 'subgroup', then its name.");
    rule.value = rest.substr(rule.by_caption ? caption.size() : subgroup.size());
    rules_.push_back(std::move(rule));
  });
}

Subset Subset::named(const std::string& name) {
  const auto found = subset_texts().find(name);
  if (found != subset_texts().end()) return Subset(found->second, "subset " + name);
  std::string known = "all";
  for (const auto& other : subset_names()) known += ", " + other;
  throw Error("There is no emoji subset '" + name + "'.", "option 'subset'", "Choose one of: " + known + ".");
}

bool Subset::contains(const Entry& entry) const {
  bool in = false;
  for (const Rule& rule : rules_)
    if (rule.value == (rule.by_caption ? entry.base_caption : entry.subgroup)) in = rule.include;
  return in;
}

void Subset::check_against(const std::vector<Entry>& entries) const {
  for (const Rule& rule : rules_) {
    const bool known = std::any_of(entries.begin(), entries.end(), [&rule](const Entry& entry) {
      return rule.value == (rule.by_caption ? entry.base_caption : entry.subgroup);
    });
    if (!known)
      throw Error("No emoji has the " + std::string(rule.by_caption ? "caption" : "subgroup") + " '" +
                      rule.value + "'.",
                  name_ + ":" + std::to_string(rule.line),
                  "Correct the name, or use the emoji-test.txt of Unicode 15 (Debian 12).");
  }
}

}  // namespace tessera::datasets::emoji
