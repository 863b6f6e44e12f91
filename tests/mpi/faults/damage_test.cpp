// Whatever byte of the newest checkpoint is damaged, the one before it is used, loudly, and the run ends in
// the same bits. What time it is, and what a killed run left, changes nothing.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstring>

#include "mpi/faults/log_lines.hpp"
#include "mpi/faults/short_run.hpp"

namespace tessera::test {
namespace {

namespace fs = std::filesystem;
using comm::Communicator;

struct Damage {
  std::string name;
  std::function<void(std::string& content)> make;
};

/// One of every kind of byte that the file has, and every way to have another length.
std::vector<Damage> damages(const checkpoint::Description& file, const std::string& content) {
  std::vector<Damage> all;
  const auto flip = [&](const std::string& name, std::size_t at) {
    all.push_back(
        {name, [at](std::string& bytes) { bytes.at(at) = static_cast<char>(bytes.at(at) ^ 0x10); }});
  };
  const auto flip_text = [&](const std::string& name, const std::string& text) {
    const std::size_t at = content.find(text);
    ASSERT_NE(at, std::string::npos) << text;
    flip(name, at);
  };
  const std::size_t seal_end = 40 + 16 * file.tensors.size();
  flip("seal: magic", 2);
  flip("seal: version", 8);
  flip("seal: number of extents", 12);
  flip("seal: length of the file", 25);
  flip("seal: an extent", 40 + 16 + 3);
  flip("seal: checksum", seal_end + 1);
  flip_text("superblock of HDF5", "\x89HDF");
  flip_text("a group of HDF5", "TREE");
  flip_text("configuration", "window_shards");
  flip_text("an attribute", "samples_seen");
  flip_text("names", file.tensors.back().name);
  std::string checksum(4, '\0');
  std::memcpy(checksum.data(), &file.tensors.front().crc, 4);
  flip_text("checksums", checksum);
  flip("first byte of the first tensor", file.tensors.front().offset);
  flip("last byte of a tensor", file.tensors.front().offset + file.tensors.front().bytes - 1);
  flip("last tensor", file.tensors.back().offset + 5);
  flip("last byte", content.size() - 1);
  for (const std::size_t bytes :
       {std::size_t{0}, std::size_t{39}, std::size_t{4096}, content.size() / 2, content.size() - 1}) {
    all.push_back({"cut to " + std::to_string(bytes), [bytes](std::string& whole) { whole.resize(bytes); }});
  }
  all.push_back({"a byte more", [](std::string& bytes) { bytes += 'x'; }});
  all.push_back({"zeros at the end", [](std::string& bytes) {
                   std::fill(bytes.end() - 4096, bytes.end(), '\0');  // blocks that never reached the disk
                 }});
  return all;
}

TEST(Faults, ADamagedNewestCheckpointIsPassedOver) {
  const Communicator world = Communicator::world();
  if (world.size() > 2) GTEST_SKIP() << "rank 0 looks at the files, whatever the number of ranks";
  const ShortRuns runs(world);
  const std::string newest = runs.checkpoint("whole", 18);
  const std::string content = io::read_file(newest);
  const std::vector<Damage> all = damages(checkpoint::describe(newest), content);
  for (std::size_t i = 0; i < all.size(); ++i) {
    SCOPED_TRACE(all[i].name);
    const std::string run = "run" + std::to_string(i);
    world.barrier();
    if (world.rank() == 0) {
      fs::copy(runs / "whole", runs / run, fs::copy_options::recursive);
      std::string bytes = content;
      all[i].make(bytes);
      ASSERT_FALSE(bytes == content);
      io::replace_file(runs.checkpoint(run, 18), bytes);
      const LogLines log;
      const auto found = checkpoint::newest_intact(runs / (run + "/checkpoints"));
      EXPECT_EQ(found.value().description.state.global_step, 16);
      EXPECT_TRUE(log.has("WARNING")) << log.text();
      EXPECT_TRUE(log.has(runs.checkpoint(run, 18))) << log.text();
      EXPECT_TRUE(log.has("Falling back")) << log.text();
    }
    world.barrier();
    if (i % 8 == 3) runs.expect_same_end(run);
    world.barrier();
    if (world.rank() == 0) fs::remove_all(runs / run);
  }
}

void set_time(const std::string& file, std::int64_t seconds) {
  const timespec times[2] = {{seconds, 0}, {seconds, 0}};
  ASSERT_EQ(::utimensat(AT_FDCWD, file.c_str(), times, 0), 0) << file;
}

TEST(Faults, ClocksMayJump) {
  const Communicator world = Communicator::world();
  const ShortRuns runs(world);
  shake_clock(400'000'000);  // years
  struct Resting {
    ~Resting() { shake_clock(0); }
  } const resting;
  // Cut after step 10; then the newest file gets the oldest time, and the others times to come.
  EXPECT_THROW((void)runs.go("run", false,
                             [&](std::int64_t step) {
                               if (step == 10) throw PowerCut{};
                             },
                             {"run.overlap_checkpoints=false"}),
               PowerCut);
  ASSERT_EQ(runs.files("run"), (std::vector{checkpoint::file_name(4), checkpoint::file_name(8)}));
  if (world.rank() == 0) {
    set_time(runs.checkpoint("run", 8), 1);
    set_time(runs.checkpoint("run", 4), 4'000'000'000);
    set_time(runs / "run/metrics.jsonl", 5);
  }
  const LogLines log;
  runs.expect_same_end("run");
  EXPECT_EQ(log.has("Resuming from " + runs.checkpoint("run", 8)), world.rank() == 0) << log.text();
  // The oldest by step went, not the oldest by time.
  EXPECT_EQ(runs.files("run"), (std::vector{checkpoint::file_name(16), checkpoint::file_name(18)}));
}

TEST(Faults, WhatAKilledSaveLeftGoes) {
  const Communicator world = Communicator::world();
  const ShortRuns runs(world);
  EXPECT_THROW((void)runs.go("run", false,
                             [&](std::int64_t step) {
                               if (step == 6) throw PowerCut{};
                             },
                             {"run.overlap_checkpoints=false"}),
               PowerCut);
  world.barrier();
  // Of another process; whole, of the step that comes next, and of a later one, and not whole.
  const std::string content = io::read_file(runs.checkpoint("run", 4));
  if (world.rank() == 0) {
    io::replace_file(runs.checkpoint("run", 8) + ".tmp-1", content);
    io::replace_file(runs.checkpoint("run", 99) + ".tmp-77", content.substr(0, 5000));
    io::replace_file(runs / "run/checkpoints/mine.txt", "left alone");
  }
  world.barrier();
  bool gone = false;
  EXPECT_EQ(runs.go("run", true,
                    [&](std::int64_t step) {
                      if (step == 5) gone = !fs::exists(runs.checkpoint("run", 99) + ".tmp-77");
                    }),
            ExitCode::done);
  EXPECT_TRUE(gone);  // before the first save, which may need the room
  runs.expect_same("run");
  EXPECT_EQ(runs.files("run"),
            (std::vector<std::string>{"mine.txt", checkpoint::file_name(16), checkpoint::file_name(18)}));
}

}  // namespace
}  // namespace tessera::test
