// Where the memory of training is: what the ranks of a node share exists once, and no gradient outlives its
// step.
#include <gtest/gtest.h>

#include <cstdint>
#include <fstream>
#include <map>
#include <sstream>
#include <string>

#include "mpi/train/common_folder.hpp"
#include "mpi/train/toy_training.hpp"

namespace tessera::test {
namespace {

using comm::Communicator;

/// Bytes of the shared arenas that this rank maps, each counted once.
std::size_t shared_bytes() {
  std::map<std::string, std::size_t> files;
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    if (line.find("/memfd:tessera") == std::string::npos) continue;
    std::istringstream words(line);
    std::string range, permissions, offset, device, inode;
    words >> range >> permissions >> offset >> device >> inode;
    const std::size_t dash = range.find('-');
    files[inode] += std::stoull(range.substr(dash + 1), nullptr, 16) - std::stoull(range, nullptr, 16);
  }
  std::size_t sum = 0;
  for (const auto& [inode, bytes] : files) sum += bytes;
  return sum;
}

class TrainingMemory : public testing::Test {
 protected:
  TrainingMemory() {
    if (world_.rank() == 0) make_toy_data(data_);
    world_.barrier();
  }
  Communicator world_ = Communicator::world();
  CommonFolder folder_{world_};
  std::string data_ = folder_ / "data";
};

TEST_F(TrainingMemory, OfANodeHoldsEveryArenaOnce) {
  if (!train::GradientRoute::once_per_node(world_)) GTEST_SKIP() << "needs several ranks on one node";
  for (const bool freeze_some : {false, true}) {
    const std::size_t before = shared_bytes();
    Training training(world_, data_, freeze_some);
    const nn::ParameterStore& store = training.store();
    // Two moments, the average and the gradients of the trainable part.
    const auto arenas = static_cast<std::size_t>(store.arena_elements() + 4 * store.trainable_elements());
    const std::size_t expected = arenas * sizeof(float);
    EXPECT_GE(shared_bytes(), before + expected);
    // The ends of five last pages, and what says whose turn it is at a gradient.
    const std::size_t more = std::size_t{64} << 10;
    EXPECT_LE(shared_bytes(), before + expected + more);
    ASSERT_GT(static_cast<std::size_t>(store.trainable_elements()) * sizeof(float), 2 * more);

    // A stage that goes on does so in the same memory.
    const std::size_t between = shared_bytes();
    RunComponents components(registry(), toy_configuration(data_, "float32"));
    for (const nn::NamedParameter& named : components.backbone().parameters()) {
      if (freeze_some && to_be_frozen(named.name)) named.parameter->set_trainable(false);
    }
    const train::ModelState next(components.backbone(), training.model(), {}, true);
    EXPECT_LE(shared_bytes(), between + more);
    world_.barrier();
  }
}

// With several micro-batches, on both routes of the gradients.
TEST_F(TrainingMemory, HoldsNoGradientOfItsOwnAfterAStep) {
  for (const Communicator& ranks : {world_, world_.alone()}) {
    Training training(ranks, data_, false);
    (void)training.steps(0, 1);  // tables of positions are made in the first step and stay
    const std::size_t before = memory_statistics().current;
    int steps = 0;
    (void)training.steps(1, 3, [&] {
      EXPECT_EQ(memory_statistics().current, before);
      ++steps;
    });
    EXPECT_EQ(steps, 2);
  }
}

}  // namespace
}  // namespace tessera::test
