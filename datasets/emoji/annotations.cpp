#include "datasets/emoji/annotations.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "datasets/system_file.hpp"

namespace tessera::datasets::emoji {
namespace {

void append_utf8(std::string& text, char32_t c) {
  const auto byte = [&text](char32_t value) { text.push_back(static_cast<char>(value)); };
  if (c < 0x80) {
    byte(c);
  } else if (c < 0x800) {
    byte(0xC0 | (c >> 6));
    byte(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    byte(0xE0 | (c >> 12));
    byte(0x80 | ((c >> 6) & 0x3F));
    byte(0x80 | (c & 0x3F));
  } else {
    byte(0xF0 | (c >> 18));
    byte(0x80 | ((c >> 12) & 0x3F));
    byte(0x80 | ((c >> 6) & 0x3F));
    byte(0x80 | (c & 0x3F));
  }
}

// The five entities that XML predefines are all that this file may use.
std::string unescaped(std::string_view text) {
  static constexpr std::pair<std::string_view, char> entities[] = {
      {"&amp;", '&'}, {"&lt;", '<'}, {"&gt;", '>'}, {"&quot;", '"'}, {"&apos;", '\''}};
  std::string plain;
  while (!text.empty()) {
    bool found = false;
    for (const auto& [name, character] : entities) {
      if (!text.starts_with(name)) continue;
      plain.push_back(character);
      text.remove_prefix(name.size());
      found = true;
      break;
    }
    if (found) continue;
    plain.push_back(text.front());
    text.remove_prefix(1);
  }
  return plain;
}

std::string without_selectors(std::string text) {
  static constexpr std::string_view selector = "\uFE0F";
  for (auto at = text.find(selector); at != std::string::npos; at = text.find(selector, at))
    text.erase(at, selector.size());
  return text;
}

std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

}  // namespace

std::string annotation_key(std::u32string_view code_points) {
  std::string key;
  for (const char32_t c : code_points)
    if (c != 0xFE0F) append_utf8(key, c);
  return key;
}

// The files hold one flat list of <annotation cp="...">words</annotation>; a scan for that element reads
// them without an XML library.
void parse_annotations(std::string_view xml, const std::string& name, Annotations& annotations) {
  static constexpr std::string_view open = "<annotation cp=\"";
  static constexpr std::string_view close = "</annotation>";
  std::size_t at = xml.find(open);
  if (at == std::string_view::npos)
    throw Error("The file holds no annotations.", name, "Give CLDR's annotations/en.xml.");
  for (; at != std::string_view::npos; at = xml.find(open, at)) {
    const std::size_t key = at + open.size();
    const std::size_t quote = xml.find('"', key);
    const std::size_t bracket = quote == std::string_view::npos ? quote : xml.find('>', quote);
    const std::size_t end = bracket == std::string_view::npos ? bracket : xml.find(close, bracket);
    if (end == std::string_view::npos) {
      const auto line = 1 + std::count(xml.begin(), xml.begin() + static_cast<std::ptrdiff_t>(at), '\n');
      throw Error("An annotation element is not closed.", name + ":" + std::to_string(line),
                  "Reinstall the Debian package unicode-cldr-core.");
    }
    at = end;
    // The elements of type "tts" repeat the name.
    if (xml.substr(quote, bracket - quote).find("type=") != std::string_view::npos) continue;
    auto& words = annotations[without_selectors(unescaped(xml.substr(key, quote - key)))];
    std::string_view list = xml.substr(bracket + 1, end - bracket - 1);
    for (;;) {
      const auto bar = list.find('|');
      const std::string word = unescaped(trimmed(list.substr(0, bar)));
      if (!word.empty() && std::find(words.begin(), words.end(), word) == words.end()) words.push_back(word);
      if (bar == std::string_view::npos) break;
      list.remove_prefix(bar + 1);
    }
  }
}

void read_annotations(const std::filesystem::path& path, Annotations& annotations) {
  parse_annotations(read_system_text(path, "unicode-cldr-core"), path.string(), annotations);
}

}  // namespace tessera::datasets::emoji
