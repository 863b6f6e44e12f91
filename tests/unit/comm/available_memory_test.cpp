#include "comm/available_memory.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <limits>
#include <string>

namespace tessera::comm {
namespace {

namespace fs = std::filesystem;

/// A folder that looks like the root of a machine.
class FakeMachine : public testing::Test {
 protected:
  void SetUp() override {
    root_ = fs::temp_directory_path() / ("tessera_memory_" + std::to_string(getpid()));
    fs::remove_all(root_);
  }
  void TearDown() override { fs::remove_all(root_); }
  void file(const std::string& path, const std::string& text) const {
    fs::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text;
  }
  fs::path root_;
};

TEST_F(FakeMachine, WithoutAnyFileNothingIsKnownAgainstARequest) {
  EXPECT_EQ(available_memory(root_), std::numeric_limits<std::size_t>::max());
}

TEST_F(FakeMachine, ReadsTheKernelsOwnEstimate) {
  file("proc/meminfo", "MemTotal:  24684092 kB\nMemFree:  10 kB\nMemAvailable:   2048 kB\n");
  EXPECT_EQ(available_memory(root_), 2048U * 1024U);
}

TEST_F(FakeMachine, TheTightestControlGroupAboveTheProcessBinds) {
  file("proc/meminfo", "MemAvailable:   1000000 kB\n");
  file("proc/self/cgroup", "0::/job/step\n");
  file("sys/fs/cgroup/job/memory.max", "300000\n");
  file("sys/fs/cgroup/job/memory.current", "120000\n");
  file("sys/fs/cgroup/job/memory.stat", "anon 5\ninactive_file 20000\n");
  file("sys/fs/cgroup/job/step/memory.max", "max\n");
  file("sys/fs/cgroup/job/step/memory.current", "1\n");
  EXPECT_EQ(available_memory(root_), 300000U - 120000U + 20000U);
}

TEST_F(FakeMachine, AContainersLimitIsFoundAtTheMountWhenItsPathIsTheHosts) {
  file("proc/self/cgroup", "4:memory:/docker/0123\n0::/\n");
  file("sys/fs/cgroup/memory/memory.limit_in_bytes", "5000\n");
  file("sys/fs/cgroup/memory/memory.usage_in_bytes", "6000\n");
  file("sys/fs/cgroup/memory/memory.stat", "inactive_file 4000\ntotal_inactive_file 2000\n");
  EXPECT_EQ(available_memory(root_), 1000U);
}

TEST(AvailableMemory, OfThisMachineIsPlausible) {
  const std::size_t bytes = available_memory();
  EXPECT_GT(bytes, std::size_t{16} << 20);
  EXPECT_LT(bytes, std::size_t{1} << 50);
}

}  // namespace
}  // namespace tessera::comm
