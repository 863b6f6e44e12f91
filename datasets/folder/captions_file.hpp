#pragma once
// Invariant: a row is returned only if it is well formed; everything else is an Error with file and line.
// Two formats, told apart by the file's first character that is not white space ('{' begins JSON lines):
//   CSV as in RFC 4180 with a header line: columns image and caption, optionally control (a control map's
//   file), group, subgroup and held_out (true/false), in any order; other columns are passed over. A quoted
//   field may span lines.
//   JSON lines: one object a line, {"image": ..., "caption": ...}, optionally "control", "group", "subgroup",
//   "held_out" (boolean) and "alternative_captions" (strings); other keys are passed over.
// Instead of `caption`, other columns or keys can be asked for, several at once: each row must have them all.

#include <cstddef>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "datasets/record_text.hpp"

namespace tessera::datasets::folder {

struct Row {
  std::size_t line = 0;               ///< where the row begins, counted from 1
  std::string image;                  ///< path as written
  std::string control;                ///< likewise, of the control map; may be empty
  std::vector<std::string> captions;  ///< UTF-8, one for each field asked for, in that order
  std::vector<std::string> alternative_captions;
  std::string group;
  std::string subgroup;
  bool held_out = false;
  friend bool operator==(const Row&, const Row&) = default;
};

/// The columns or keys that hold captions.
using CaptionFields = std::vector<std::string>;

/// Rows one after another, in memory proportional to the longest.
class CaptionsReader {
 public:
  /// @throws Error if the file cannot be read, or its header lacks a column.
  explicit CaptionsReader(const std::filesystem::path& path, CaptionFields fields = {"caption"});
  explicit CaptionsReader(RecordText text, CaptionFields fields = {"caption"});
  ~CaptionsReader();
  CaptionsReader(CaptionsReader&&) noexcept;
  CaptionsReader& operator=(CaptionsReader&&) noexcept;

  /// False at the end.
  /// @throws Error if the row is malformed (quoting, missing field, not UTF-8).
  bool next(Row& row);

 private:
  class Format;
  class Csv;
  class JsonLines;
  std::unique_ptr<Format> format_;
};

/// captions.csv, captions.jsonl or metadata.jsonl, whichever is there; an empty path when none is.
[[nodiscard]] std::filesystem::path find_captions_file(const std::filesystem::path& folder);

}  // namespace tessera::datasets::folder
