#pragma once
// Invariant: holds one record and one chunk of a text at a time, whatever the text's length; records are the
// same whatever the chunk.

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "io/file.hpp"

namespace tessera::datasets {

/// A text cut into lines, or into records that may span lines inside double quotes.
class RecordText {
 public:
  struct Record {
    std::string_view text;  ///< with its line end, which only the last record may lack; until the next call
    std::size_t line = 0;   ///< where it begins, counted from 1
    std::uint64_t offset = 0;  ///< its first byte's, in the text
  };

  /// @param name  what errors call the text.
  RecordText(io::File file, std::string name, std::size_t chunk = default_chunk);
  /// A text that stays in memory as long as this.
  RecordText(std::string_view text, std::string name, std::size_t chunk = default_chunk);

  [[nodiscard]] const std::string& name() const { return name_; }
  /// Passes over the byte order mark that some spreadsheets write. Before the first record only.
  void skip_byte_order_mark();
  /// The first character that is not white space; none when there is none. Before the first record only.
  [[nodiscard]] std::optional<char> first_character();
  /// The next record: a line, or with `quotes` all lines up to one with an even number of quotes so far.
  /// @throws Error naming the line when a record is longer than 64 MB, or the file cannot be read.
  std::optional<Record> next(bool quotes);

 private:
  static constexpr std::size_t default_chunk = std::size_t{1} << 20;
  using Read = std::function<std::size_t(char* to, std::size_t bytes, std::uint64_t offset)>;
  /// False at the end of the text.
  bool read_more();

  Read read_;
  std::string name_;
  std::size_t chunk_;
  std::string buffer_;
  std::size_t begin_ = 0;     // of what is not yet returned, in buffer_
  std::uint64_t offset_ = 0;  // of buffer_[begin_], in the text
  std::size_t line_ = 1;
};

}  // namespace tessera::datasets
