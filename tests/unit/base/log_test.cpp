#include "base/log.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>
#include <vector>

#include "base/error.hpp"

namespace tessera {
namespace {

using testing::MatchesRegex;

TEST(Logger, LinesCarryTimeLevelAndRankAboveZero) {
  std::ostringstream out;
  Logger log;
  log.add_stream(out, LogLevel::debug);
  log.write(LogLevel::info, "hello");
  log.set_rank(3);
  log.write(LogLevel::warning, "two\nlines\n");
  std::istringstream lines(out.str());
  std::vector<std::string> got;
  for (std::string line; std::getline(lines, line);) got.push_back(line);
  const std::string time = "....-..-.. ..:..:.. ";
  ASSERT_EQ(got.size(), 3U);
  EXPECT_THAT(got[0], MatchesRegex(time + "INFO hello"));
  EXPECT_THAT(got[1], MatchesRegex(time + "WARNING .rank 3. two"));
  EXPECT_THAT(got[2], MatchesRegex(time + "WARNING .rank 3. lines"));
}

TEST(Logger, EachSinkHasItsOwnLevelAndCanLeave) {
  int all = 0, errors = 0;
  Logger log;
  log.write(LogLevel::error, "nobody listens");
  const int first = log.add_sink([&](LogLevel, const std::string&) { ++all; }, LogLevel::debug);
  log.add_sink([&](LogLevel level, const std::string&) { errors += level == LogLevel::error ? 1 : 100; },
               LogLevel::error);
  log.write(LogLevel::debug, "a");
  log.write(LogLevel::error, "b");
  log.remove(first);
  log.write(LogLevel::error, "c");
  EXPECT_EQ(all, 2);
  EXPECT_EQ(errors, 2);
}

TEST(Logger, ThreadsDoNotMixLines) {
  std::vector<std::string> lines;
  Logger log;
  log.add_sink([&](LogLevel, const std::string& line) { lines.push_back(line); });
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&log] {
      for (int i = 0; i < 200; ++i) log.write(LogLevel::info, "first\nsecond");
    });
  for (std::thread& thread : threads) thread.join();
  ASSERT_EQ(lines.size(), 1600U);
  for (std::size_t i = 0; i < lines.size(); ++i)
    EXPECT_TRUE(lines[i].ends_with(i % 2 == 0 ? "INFO first" : "INFO second")) << lines[i];
}

TEST(Logger, AppendsToAFileAndSaysWhenItCannot) {
  const auto folder = std::filesystem::path(testing::TempDir());
  const auto file = folder / "tessera_log_test.txt";
  std::filesystem::remove(file);
  for (int run = 0; run < 2; ++run) {
    Logger log;
    log.add_file(file);
    log.write(LogLevel::info, "run " + std::to_string(run));
  }
  std::ifstream stream(file);
  std::string first, second;
  std::getline(stream, first);
  std::getline(stream, second);
  EXPECT_TRUE(first.ends_with("run 0"));
  EXPECT_TRUE(second.ends_with("run 1"));
  std::filesystem::remove(file);

  Logger log;
  try {
    log.add_file(folder / "no such folder" / "log.txt");
    FAIL() << "an unwritable file was accepted";
  } catch (const Error& error) {
    EXPECT_NE(error.where().find("no such folder"), std::string::npos);
  }
}

}  // namespace
}  // namespace tessera
