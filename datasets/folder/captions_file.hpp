#pragma once
// Invariant: a row is returned only if it is well formed; everything else is an Error with file and line.
// Two formats, told apart by the file's first character that is not white space ('{' begins JSON lines):
//   CSV as in RFC 4180 with a header line: columns image and caption, optionally group, subgroup and
//   held_out (true/false), in any order; other columns are passed over. A quoted field may span lines.
//   JSON lines: one object a line, {"image": ..., "caption": ...}, optionally "group", "subgroup",
//   "held_out" (boolean) and "alternative_captions" (strings); other keys are passed over.

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace tessera::datasets::folder {

struct Row {
  std::size_t line = 0;  ///< where the row begins, counted from 1
  std::string image;     ///< path as written
  std::string caption;   ///< UTF-8
  std::vector<std::string> alternative_captions;
  std::string group;
  std::string subgroup;
  bool held_out = false;
};

/// @throws Error if the file cannot be read or a row is malformed (quoting, missing field, not UTF-8).
std::vector<Row> read_captions(const std::filesystem::path& path);

/// Rows from the file's text; `name` is what errors call it.
std::vector<Row> parse_captions(std::string_view text, const std::string& name);

}  // namespace tessera::datasets::folder
