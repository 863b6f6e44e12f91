#include "base/log.hpp"

#include <chrono>
#include <ctime>
#include <fstream>
#include <mutex>
#include <ostream>
#include <utility>
#include <vector>

#include "base/error.hpp"

namespace tessera {
namespace {

const char* level_name(LogLevel level) {
  switch (level) {
    case LogLevel::debug:
      return "DEBUG";
    case LogLevel::info:
      return "INFO";
    case LogLevel::warning:
      return "WARNING";
    case LogLevel::error:
      return "ERROR";
  }
  return "";
}

std::string time_text() {
  const std::time_t now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  std::tm parts{};
  gmtime_r(&now, &parts);
  char text[32];
  const std::size_t size = std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &parts);
  return {text, size};
}

}  // namespace

struct Logger::State {
  struct Entry {
    int number;
    LogLevel least;
    Sink sink;
  };
  std::mutex mutex;
  std::vector<Entry> sinks;
  int next = 0;
  int rank = 0;
};

Logger::Logger() : state_(std::make_unique<State>()) {}
Logger::~Logger() = default;

void Logger::set_rank(int rank) {
  const std::lock_guard lock(state_->mutex);
  state_->rank = rank;
}

int Logger::add_sink(Sink sink, LogLevel least) {
  const std::lock_guard lock(state_->mutex);
  state_->sinks.push_back({state_->next, least, std::move(sink)});
  return state_->next++;
}

int Logger::add_stream(std::ostream& stream, LogLevel least) {
  return add_sink([&stream](LogLevel, const std::string& line) { stream << line << '\n'
                                                                        << std::flush; },
                  least);
}

int Logger::add_file(const std::filesystem::path& file, LogLevel least) {
  auto stream = std::make_shared<std::ofstream>(file, std::ios::app);
  if (!*stream)
    throw Error("the log file cannot be opened for writing", file.string(),
                "check that its folder exists and may be written to");
  return add_sink([stream](LogLevel, const std::string& line) { *stream << line << '\n'
                                                                        << std::flush; },
                  least);
}

void Logger::remove(int sink) {
  const std::lock_guard lock(state_->mutex);
  std::erase_if(state_->sinks, [&](const State::Entry& entry) { return entry.number == sink; });
}

void Logger::write(LogLevel level, std::string_view text) {
  const std::lock_guard lock(state_->mutex);
  bool wanted = false;
  for (const State::Entry& entry : state_->sinks) wanted = wanted || level >= entry.least;
  if (!wanted) return;
  std::string prefix = time_text() + " " + level_name(level) + " ";
  if (state_->rank != 0) prefix += "[rank " + std::to_string(state_->rank) + "] ";
  while (true) {
    const std::size_t end = text.find('\n');
    const std::string line = prefix + std::string(text.substr(0, end));
    for (const State::Entry& entry : state_->sinks)
      if (level >= entry.least) entry.sink(level, line);
    if (end == std::string_view::npos || end + 1 == text.size()) return;
    text.remove_prefix(end + 1);
  }
}

Logger& logger() {
  static auto* const instance = new Logger;  // never destroyed: destructors of others may still log
  return *instance;
}

void log_debug(std::string_view text) { logger().write(LogLevel::debug, text); }
void log_info(std::string_view text) { logger().write(LogLevel::info, text); }
void log_warning(std::string_view text) { logger().write(LogLevel::warning, text); }
void log_error(std::string_view text) { logger().write(LogLevel::error, text); }

}  // namespace tessera
