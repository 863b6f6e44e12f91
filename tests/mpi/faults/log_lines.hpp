#pragma once
// Invariant: holds every line that the logger of this process wrote since it was made.

#include <string>

#include "base/log.hpp"

namespace tessera::test {

class LogLines {
 public:
  LogLines()
      : sink_(logger().add_sink([this](LogLevel, const std::string& line) { text_ += line + "\n"; })) {}
  ~LogLines() { logger().remove(sink_); }
  LogLines(const LogLines&) = delete;
  LogLines& operator=(const LogLines&) = delete;
  [[nodiscard]] bool has(const std::string& words) const { return text_.find(words) != std::string::npos; }
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  std::string text_;
  int sink_;
};

}  // namespace tessera::test
