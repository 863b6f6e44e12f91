#include "comm/shared_arena.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string>

#include "base/error.hpp"
#include "comm/available_memory.hpp"

namespace tessera::comm {
namespace {

const Communicator& world() {
  static const Communicator communicator = Communicator::world();
  return communicator;
}

std::int64_t* numbers(std::byte* segment) { return reinterpret_cast<std::int64_t*>(segment); }

TEST(SharedArena, IsSupportedHere) { EXPECT_TRUE(SharedArena::supported(world())); }

TEST(SharedArena, IsAlignedAndZeroed) {
  for (const Placement placement : {Placement::private_memory, Placement::shared}) {
    const SharedArena arena(world(), 100001, placement);
    EXPECT_EQ(arena.bytes(), 100001U);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(arena.data()) % 4096, 0U);
    std::size_t nonzero = 0;
    for (std::size_t i = 0; i < arena.bytes(); ++i) nonzero += arena.data()[i] != std::byte{0};
    EXPECT_EQ(nonzero, 0U);
    world().barrier();
  }
}

TEST(SharedArena, OneSegmentIsTheSameMemoryForAll) {
  const auto ranks = static_cast<std::size_t>(world().node_size());
  const auto own = static_cast<std::size_t>(world().node_rank());
  const SharedArena arena(world(), 100000 * ranks * 8, Placement::shared);
  for (int round = 1; round < 20; ++round) {
    std::int64_t* const values = numbers(arena.data());
    for (std::size_t i = own; i < 100000 * ranks; i += ranks)
      values[i] = static_cast<std::int64_t>(i) * round;
    world().barrier();
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < 100000 * ranks; ++i)
      wrong += values[i] != static_cast<std::int64_t>(i) * round;
    EXPECT_EQ(wrong, 0U);
    world().barrier();
  }
}

TEST(SharedArena, TheMemoryOutlivesTheArenaWhileATensorHoldsIt) {
  std::shared_ptr<void> owner;
  std::byte* data = nullptr;
  {
    const SharedArena arena(world(), 4096, Placement::shared);
    owner = arena.owner();
    data = arena.data();
  }
  std::memset(data, 1, 4096);
  EXPECT_EQ(data[4095], std::byte{1});
}

TEST(SharedArena, TooMuchIsAnErrorThatNamesTheNumbersOnEveryRank) {
  const std::size_t too_much = available_memory() + (std::size_t{8} << 30);
  for (const Placement placement : {Placement::private_memory, Placement::shared}) {
    try {
      const SharedArena arena(world(), too_much, placement);
      FAIL() << "the arena was made";
    } catch (const Error& error) {
      EXPECT_NE(error.summary().find("MiB are needed"), std::string::npos) << error.what();
      EXPECT_NE(error.summary().find("available"), std::string::npos) << error.what();
      EXPECT_FALSE(error.remedy().empty());
    }
  }
}

// A named file would stay behind when the ranks are killed; MPI's own are not ours.
TEST(SharedArena, MapsNoNamedFile) {
  const SharedArena arena(world(), std::size_t{1} << 20, Placement::shared);
  std::ostringstream address;
  address << std::hex << reinterpret_cast<std::uintptr_t>(arena.data()) << '-';
  std::ifstream maps("/proc/self/maps");
  bool found = false;
  for (std::string line; std::getline(maps, line);) {
    if (!line.starts_with(address.str())) continue;
    found = true;
    EXPECT_TRUE(line.ends_with("(deleted)")) << line;
  }
  EXPECT_TRUE(found) << "the arena does not begin a mapping";
}

/// Resident shared memory of this process, in bytes.
std::size_t shared_resident() {
  std::ifstream status("/proc/self/status");
  std::string word;
  while (status >> word) {
    std::size_t kib = 0;
    if (word == "RssShmem:" && status >> kib) return kib * 1024;
  }
  return 0;
}

TEST(SharedArena, IsUnmappedWithItsLastCopy) {
  const std::size_t before = shared_resident();
  {
    const SharedArena arena(world(), std::size_t{8} << 20, Placement::shared);
    std::memset(arena.data(), 1, arena.bytes());
    EXPECT_GE(shared_resident(), before + (std::size_t{8} << 20));
    world().barrier();
  }
  EXPECT_LT(shared_resident(), before + (std::size_t{1} << 20));
}

}  // namespace
}  // namespace tessera::comm
