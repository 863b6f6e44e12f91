#include "datasets/emoji/emoji_list.hpp"

#include <charconv>
#include <utility>

#include "base/error.hpp"
#include "datasets/system_file.hpp"

namespace tessera::datasets::emoji {
namespace {

std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\r");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  std::string replaced;
  std::size_t begin = 0;
  for (std::size_t at; (at = text.find(from, begin)) != std::string::npos; begin = at + from.size())
    replaced.append(text, begin, at - begin).append(to);
  text = replaced.append(text, begin);
}

std::vector<std::string_view> split(std::string_view text, std::string_view separator) {
  std::vector<std::string_view> parts;
  for (;;) {
    const auto at = text.find(separator);
    parts.push_back(text.substr(0, at));
    if (at == std::string_view::npos) return parts;
    text.remove_prefix(at + separator.size());
  }
}

bool is_skin_tone(char32_t c) { return c >= 0x1F3FB && c <= 0x1F3FF; }

// "1F468 200D 2764 FE0F" -> code points; empty if any part is not a hexadecimal code point.
std::u32string parse_code_points(std::string_view text) {
  std::u32string points;
  for (const std::string_view part : split(text, " ")) {
    std::uint32_t value = 0;
    const auto [end, failure] = std::from_chars(part.data(), part.data() + part.size(), value, 16);
    if (failure != std::errc{} || end != part.data() + part.size() || value > 0x10FFFF) return {};
    points.push_back(static_cast<char32_t>(value));
  }
  return points;
}

// The comment of a line is "<emoji> E<version> <name>".
std::string_view name_of(std::string_view comment) {
  comment = trimmed(comment);
  const auto version = comment.find(" E");
  if (version == std::string_view::npos) return {};
  const auto name = comment.find(' ', version + 1);
  return name == std::string_view::npos ? std::string_view{} : trimmed(comment.substr(name));
}

}  // namespace

std::string clean_name(std::string_view unicode_name) {
  std::string text(trimmed(unicode_name));
  if (text.starts_with("flag: ")) text = "flag of " + text.substr(6);
  if (text.starts_with("keycap: ")) text = "keycap " + text.substr(8);
  replace_all(text, "\u229B", "");  // marks names not yet final in some editions of the file
  for (const std::string_view quote : {"\u201C", "\u201D"}) replace_all(text, quote, "");
  replace_all(text, "\u2019", "'");
  replace_all(text, ": ", ", ");
  replace_all(text, " (", ", ");
  replace_all(text, ")", "");
  return std::string(trimmed(text));
}

std::string without_skin_tones(std::string_view unicode_name) {
  const auto colon = unicode_name.find(": ");
  if (colon == std::string_view::npos) return std::string(unicode_name);
  std::string kept;
  for (const std::string_view part : split(unicode_name.substr(colon + 2), ", ")) {
    if (part.ends_with("skin tone")) continue;
    kept += kept.empty() ? ": " : ", ";
    kept += part;
  }
  if (kept == ": person, person") kept.clear();
  return std::string(unicode_name.substr(0, colon)) + kept;
}

std::vector<Entry> parse_emoji_test(std::string_view text, const std::string& name) {
  std::vector<Entry> entries;
  std::string group, subgroup;
  std::size_t number = 0;
  for (const std::string_view raw : split(text, "\n")) {
    ++number;
    const std::string_view line = trimmed(raw);
    if (line.starts_with("# group: ")) group = line.substr(9);
    if (line.starts_with("# subgroup: ")) subgroup = line.substr(12);
    if (line.empty() || line.front() == '#') continue;
    const auto semicolon = line.find(';');
    const auto hash = line.find('#');
    const auto refuse = [&](const std::string& why) {
      throw Error(
          "This line of the emoji list is not understood: " + why + ".", name + ":" + std::to_string(number),
          "Reinstall the Debian package unicode-data, or give the path of an unchanged emoji-test.txt.");
    };
    if (semicolon == std::string_view::npos || hash == std::string_view::npos || hash < semicolon)
      refuse("expected 'code points ; status # emoji name'");
    if (trimmed(line.substr(semicolon + 1, hash - semicolon - 1)) != "fully-qualified") continue;
    Entry entry;
    entry.code_points = parse_code_points(trimmed(line.substr(0, semicolon)));
    if (entry.code_points.empty()) refuse("a code point is not hexadecimal");
    const std::string_view unicode_name = name_of(line.substr(hash + 1));
    if (unicode_name.empty()) refuse("the name is missing");
    for (const char32_t c : entry.code_points) entry.skin_tone = entry.skin_tone || is_skin_tone(c);
    entry.caption = clean_name(unicode_name);
    entry.base_caption = entry.skin_tone ? clean_name(without_skin_tones(unicode_name)) : entry.caption;
    entry.group = group;
    entry.subgroup = subgroup;
    entries.push_back(std::move(entry));
  }
  return entries;
}

std::vector<Entry> read_emoji_test(const std::filesystem::path& path) {
  return parse_emoji_test(read_system_text(path, "unicode-data"), path.string());
}

}  // namespace tessera::datasets::emoji
