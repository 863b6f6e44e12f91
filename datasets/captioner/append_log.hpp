#pragma once
// Invariant: a file of JSON lines, of which every line but a torn last one is whole: each is written by one
// system call, and a process killed meanwhile leaves at most its beginning, which is removed when the file is
// opened next. Only one process at a time has it open.

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "io/file.hpp"

namespace tessera::datasets::captioner {

class AppendLog {
 public:
  /// Told each whole line of the file and its number, from 1. It throws what it does not understand.
  using Visitor = std::function<void(std::string_view line, std::size_t number)>;

  /// Opens the file, or makes an empty one, reads what it holds and removes a torn last line.
  /// @param beginning  what every line begins with: how a torn line of this program is told from a file of
  /// somebody else's, which is left as it is.
  /// @throws Error when another process has it open, the last line is torn and not this program's, or the
  /// disk says no.
  AppendLog(const std::string& path, std::string_view beginning, const Visitor& visit);

  [[nodiscard]] const std::string& path() const { return file_.path(); }
  /// Bytes of a torn line that were removed.
  [[nodiscard]] std::uint64_t torn() const { return torn_; }

  /// @param line  without its line end.
  void append(std::string line);
  /// Puts what was appended onto the disk.
  void sync();

 private:
  io::File file_;
  std::uint64_t end_ = 0;
  std::uint64_t torn_ = 0;
  bool unsynced_ = false;
};

}  // namespace tessera::datasets::captioner
