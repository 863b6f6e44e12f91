#pragma once
// Invariant: entries are the fully-qualified sequences of Unicode's emoji-test.txt (UTS #51) in file order;
// captions are plain words: no colons, brackets or curly quotes.

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace tessera::datasets::emoji {

struct Entry {
  std::u32string code_points;
  std::string caption;       ///< the Unicode name made into a caption ("flag of France")
  std::string base_caption;  ///< the same without skin tones; equal to caption where there are none
  std::string group;
  std::string subgroup;
  bool skin_tone = false;  ///< contains a modifier U+1F3FB..U+1F3FF
};

/// @throws Error naming the package if the file is missing, or file and line if a line is malformed.
std::vector<Entry> read_emoji_test(const std::filesystem::path& path);

/// Entries from the file's text; `name` is what errors call it.
std::vector<Entry> parse_emoji_test(std::string_view text, const std::string& name);

/// "flag: France" -> "flag of France", "keycap: 7" -> "keycap 7", other colons -> commas, curly quotes
/// straightened or dropped, brackets -> commas, marks such as U+229B dropped. Case and accents stay.
std::string clean_name(std::string_view unicode_name);

/// Drops the skin tones of a Unicode name, and "person, person", which only variants spell out.
std::string without_skin_tones(std::string_view unicode_name);

}  // namespace tessera::datasets::emoji
