#pragma once
// Invariant: what is on the disk is the truth: a picture is done when the output holds its record, and its
// failed attempts are the lines of the failures file. Rows are known by image and caption, of which 96 bits
// of hash are kept, so that memory stays below 100 bytes a row.

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "datasets/captioner/append_log.hpp"
#include "datasets/folder/captions_file.hpp"

namespace tessera::datasets::captioner {

/// Where the failures of an output file are kept: JSON lines, one an attempt.
[[nodiscard]] std::string failures_file(const std::string& out);

/// Why a picture has no caption: a kind of failure to count by, and the reason in words.
struct Reason {
  std::string kind;
  std::string text;
};

class Ledger {
 public:
  enum class Standing : std::uint8_t { to_do, done, given_up, repeated };

  /// @param retries  how often a picture is tried again that failed.
  /// @throws Error when one of the two files is in use by another process, or not what it should be.
  Ledger(const std::string& out, unsigned retries);

  /// What is to be done about a row. Each row of the captions file is asked for once, in order; a row with
  /// the image and the caption of an earlier one is `repeated`.
  [[nodiscard]] Standing visit(const folder::Row& row);
  /// Writes a record: image, caption, dense_caption, and the row's other fields where it has them.
  void add_caption(const folder::Row& row, std::string_view dense_caption);
  void add_failure(const folder::Row& row, const Reason& reason);
  /// Puts what was written onto the disk.
  void sync();

  /// The last failure of a picture without a caption, and how many there were.
  struct Failed {
    unsigned attempts = 0;
    Reason last;
  };
  [[nodiscard]] Failed failed(const folder::Row& row) const;

  /// Of the rows visited so far.
  struct Totals {
    std::uint64_t strangers = 0;  ///< records that none of them asks for
    std::uint64_t to_do = 0;
    std::uint64_t failing = 0;  ///< without a caption, though tried
    std::uint64_t given_up = 0;
    std::map<std::string, std::uint64_t> kinds;  ///< failing ones by the kind of their last failure
  };
  [[nodiscard]] Totals totals() const;
  /// Bytes of a torn record that were removed.
  [[nodiscard]] std::uint64_t torn() const { return out_.torn(); }
  /// Removes the failures file when it tells of no picture that still fails.
  void close();

 private:
  struct Key {
    std::uint64_t hash = 0;
    std::uint32_t sum = 0;
    friend bool operator==(const Key&, const Key&) = default;
  };
  struct KeyHash {
    std::size_t operator()(const Key& key) const { return static_cast<std::size_t>(key.hash); }
  };
  struct State {
    bool done = false;
    bool visited = false;
    unsigned attempts = 0;  // that failed
  };
  static Key key_of(std::string_view image, std::string_view caption);
  static Key key_of(const folder::Row& row) { return key_of(row.image, row.captions.front()); }
  void read_record(std::string_view line, std::size_t number);
  void read_failure(std::string_view line, std::size_t number);

  std::string failures_path_;
  unsigned retries_;
  std::unordered_map<Key, State, KeyHash> states_;
  std::unordered_map<Key, Reason, KeyHash> reasons_;  // of those without a caption that were tried
  AppendLog out_;
  AppendLog failures_;
};

}  // namespace tessera::datasets::captioner
