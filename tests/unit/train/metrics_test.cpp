#include "train/metrics.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <sstream>

#include "io/file.hpp"
#include "train/progress.hpp"
#include "unit/io/temporary_folder.hpp"

namespace tessera::train {
namespace {

StepMetrics at_step(std::int64_t step) { return {.step = step, .stage = "one", .loss = 0.1}; }

TEST(Metrics, LineIsJsonThatReadsBackExactly) {
  StepMetrics metrics{7, "first \"stage\"", 0.1, 2.4e-4, 1.0 / 3, 0.5, 12, 3, 1e9, 1, 4, 2};
  EXPECT_EQ(to_json(metrics),
            R"({"step":7,"stage":"first \"stage\"","loss":0.1,"learning_rate":0.00024,)"
            R"("gradient_norm":0.3333333333333333,"clip":0.5,"images_per_s":12,"seconds":3,"memory":1e+09,)"
            R"("attempt":1,"skipped":4,"damaged":2})");
  metrics.loss = std::nan("");
  EXPECT_NE(to_json(metrics).find("\"loss\":null"), std::string::npos);
}

TEST(Metrics, AResumedRunDropsWhatItRepeats) {
  const test::TemporaryFolder folder;
  const std::string path = folder / "metrics.jsonl";
  {
    MetricsFile file(path, 0);
    for (std::int64_t step = 1; step <= 5; ++step) file.append(at_step(step));
  }
  // What a kill in the middle of a write leaves.
  io::replace_file(path, io::read_file(path) + "{\"step\":6,\"sta");
  {
    MetricsFile file(path, 3);
    file.append(at_step(4));
  }
  std::string expected;
  for (std::int64_t step = 1; step <= 4; ++step) expected += to_json(at_step(step)) + "\n";
  EXPECT_EQ(io::read_file(path), expected);
}

TEST(Metrics, AFileThatIsGoneIsNoticed) {
  const test::TemporaryFolder folder;
  MetricsFile file(folder / "metrics.jsonl", 0);
  file.append(at_step(1));
  std::filesystem::remove(folder / "metrics.jsonl");
  EXPECT_THROW(file.append(at_step(2)), Error);
}

TEST(Metrics, KnowsItsMemory) {
  const double memory = proportional_memory();
  EXPECT_GT(memory, 1e6);
  EXPECT_LT(memory, 1e11);
}

TEST(Progress, TimesReadWell) {
  EXPECT_EQ(readable_time(7.4), "0:07");
  EXPECT_EQ(readable_time(605), "10:05");
  EXPECT_EQ(readable_time(3600 * 5 + 61), "5:01:01");
  EXPECT_EQ(readable_time(86400 * 2 + 3), "2d 00:00:03");
  EXPECT_EQ(readable_time(-5), "0:00");
  EXPECT_EQ(readable_time(std::nan("")), "?");
}

TEST(Progress, LineSaysAll) {
  EXPECT_EQ(progress_line({"warm", 50, 200, 0.125, 2.4e-4, 81.25, 65}),
            "[=====>              ] 50/200 warm  loss 0.1250  lr 2.40e-04  81.2 images/s  1:05 left");
  EXPECT_NE(progress_line({"warm", 200, 200, 1, 1, 1, 0}).find("[====================]"), std::string::npos);
}

TEST(Progress, RewritesOneLineAndClearsIt) {
  std::ostringstream terminal;
  {
    Progress progress(&terminal);
    progress.show({"a", 1, 10, 1, 1, 1, 1});
    const std::string once = terminal.str();
    EXPECT_EQ(once.front(), '\r');
    EXPECT_EQ(once.find('\n'), std::string::npos);
    progress.show({"a", 2, 10, 1, 1, 1, 1});  // within a fifth of a second
    EXPECT_EQ(terminal.str(), once);
  }
  EXPECT_TRUE(terminal.str().ends_with("\r\x1b[K"));
  Progress silent(nullptr);
  silent.show({});
}

}  // namespace
}  // namespace tessera::train
