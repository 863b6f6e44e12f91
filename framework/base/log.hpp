#pragma once
// Invariant: a log line reaches every sink whole and in one order, whichever thread writes it. Without a
// sink nothing is written: the library is silent until a program attaches one.
// Lines read "2026-03-01 14:05:09 INFO text" (UTC); ranks above 0 add "[rank 3] " before the text.

#include <filesystem>
#include <functional>
#include <iosfwd>
#include <memory>
#include <string>
#include <string_view>

namespace tessera {

enum class LogLevel { debug, info, warning, error };

class Logger {
 public:
  /// Receives a complete line without the newline. Called under the logger's lock: it must not log.
  using Sink = std::function<void(LogLevel level, const std::string& line)>;

  Logger();
  ~Logger();
  Logger(const Logger&) = delete;
  Logger& operator=(const Logger&) = delete;

  void set_rank(int rank);
  /// Each sink gets the lines of its level and above. The returned number serves remove().
  int add_sink(Sink sink, LogLevel least = LogLevel::info);
  /// `stream` must outlive the sink.
  int add_stream(std::ostream& stream, LogLevel least = LogLevel::info);
  /// Appends to `file`, flushing after every line. @throws Error when it cannot be opened.
  int add_file(const std::filesystem::path& file, LogLevel least = LogLevel::info);
  void remove(int sink);

  /// Every line of a text with several gets its own prefix.
  void write(LogLevel level, std::string_view text);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// The logger of this process, made on first use and never destroyed.
Logger& logger();

void log_debug(std::string_view text);
void log_info(std::string_view text);
void log_warning(std::string_view text);
void log_error(std::string_view text);

}  // namespace tessera
