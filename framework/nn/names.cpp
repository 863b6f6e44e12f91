#include "nn/names.hpp"

#include <algorithm>
#include <map>
#include <string_view>

namespace tessera::nn {
namespace {

std::vector<std::string_view> parts_of(std::string_view name) {
  std::vector<std::string_view> parts;
  for (std::size_t begin = 0; begin <= name.size();) {
    const std::size_t end = std::min(name.find('.', begin), name.size());
    parts.push_back(name.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

bool is_number(std::string_view part) {
  return !part.empty() && part.find_first_not_of("0123456789") == std::string_view::npos;
}

bool part_matches(std::string_view part, std::string_view pattern) {
  const std::size_t star = pattern.find('*');
  if (star == std::string_view::npos) return part == pattern;
  if (!part.starts_with(pattern.substr(0, star))) return false;
  const std::string_view rest = pattern.substr(star + 1);
  for (std::size_t begin = star; begin <= part.size(); ++begin) {
    if (part_matches(part.substr(begin), rest)) return true;
  }
  return false;
}

}  // namespace

std::string name_patterns(const std::vector<std::string>& names) {
  std::map<std::string, int> counts;
  for (const std::string& name : names) {
    std::string pattern;
    for (const std::string_view part : parts_of(name)) {
      if (part.data() != name.data()) pattern += '.';
      pattern += is_number(part) ? std::string_view("*") : part;
    }
    ++counts[pattern];
  }
  std::string text;
  for (const auto& [pattern, count] : counts) {
    text += (text.empty() ? "" : ", ") + pattern + (count > 1 ? " (" + std::to_string(count) + ")" : "");
  }
  return text;
}

bool name_matches(const std::string& name, const std::string& pattern) {
  const std::vector<std::string_view> parts = parts_of(name);
  const std::vector<std::string_view> wanted = parts_of(pattern);
  return wanted.size() <= parts.size() &&
         std::equal(wanted.rbegin(), wanted.rend(), parts.rbegin(),
                    [](std::string_view pattern_part, std::string_view part) {
                      return part_matches(part, pattern_part);
                    });
}

std::vector<std::string> name_ends(const std::string& name) {
  std::vector<std::string> ends{name};
  for (std::size_t dot = name.find('.'); dot != std::string::npos; dot = name.find('.', dot + 1)) {
    ends.push_back(name.substr(dot + 1));
  }
  return ends;
}

}  // namespace tessera::nn
