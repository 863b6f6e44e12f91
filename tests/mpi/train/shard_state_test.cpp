// The state of sharded training: every rank sees the values that others see, and keeps its share alone.
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <map>

#include "mpi/train/shard_run.hpp"
#include "mpi/train/toy_training.hpp"
#include "ops/accumulate.hpp"

namespace tessera::test {
namespace {

using comm::Communicator;
using train::Shard;

struct ShardedState : Sharded {};

/// Two steps with an average: values, then what sampling sees, by name.
std::vector<std::map<std::string, std::string>> states_of(Training& training) {
  training.steps(0, 3);
  std::vector<std::map<std::string, std::string>> states{training.values(false)};
  training.model().swap_average();
  states.push_back(training.values(false));
  training.model().swap_average();
  states.push_back(training.values(false));
  return states;
}

double furthest(const std::map<std::string, std::string>& a, const std::map<std::string, std::string>& b) {
  EXPECT_EQ(a.size(), b.size());
  double worst = 0;
  for (const auto& [name, bytes] : a) {
    for (std::size_t i = 0; i < bytes.size(); i += sizeof(float)) {
      float one = 0, other = 0;
      std::memcpy(&one, bytes.data() + i, sizeof(float));
      std::memcpy(&other, b.at(name).data() + i, sizeof(float));
      worst = std::max(worst, std::abs(static_cast<double>(one) - other));
    }
  }
  return worst;
}

TEST_F(ShardedState, ValuesAndAverageAreThoseOfTheOthers) {
  for (const Communicator& ranks : layouts(world)) {
    Training plain(ranks, data, true);
    const auto expected = states_of(plain);
    EXPECT_GT(furthest(expected[0], expected[1]), 1e-3);
    for (const Shard mode : {Shard::optimizer, Shard::gradients}) {
      Training training(ranks, data, true, 5, "float32", settings(mode));
      ASSERT_GT(training.model().sharding()->buckets_below_border(), 4U);
      const auto frozen = training.values(true);
      EXPECT_EQ(frozen, plain.values(true));
      const auto states = states_of(training);
      EXPECT_LT(furthest(states[0], expected[0]), 1e-4);
      EXPECT_LT(furthest(states[1], expected[1]), 1e-4);
      EXPECT_EQ(states[2], states[0]);
      EXPECT_EQ(training.values(true), frozen);
      const std::vector<float> all = training.store().values().to_host<float>();
      const std::string bits(reinterpret_cast<const char*>(all.data()), all.size() * sizeof(float));
      for (const std::string& other : world.gather(bits)) EXPECT_EQ(other, bits);
    }
  }
}

// In bfloat16 a rank computes with the copy, whose values come from elsewhere.
TEST_F(ShardedState, EveryRankHasTheSameCopyOfTheValues) {
  for (const Communicator& ranks : layouts(world)) {
    Training training(ranks, data, true, 5, "bfloat16", settings(Shard::gradients));
    const auto check = [&](const char* when) {
      const Tensor whole = training.model().whole_values();
      const Tensor rounded = ops::converted(whole, DType::bf16);
      const Tensor copy = training.store().compute_copy();
      EXPECT_EQ(std::memcmp(rounded.raw(), copy.raw(), copy.bytes()), 0) << when;
      for (const nn::ParameterSlot& slot : training.store().slots()) {
        if (!slot.parameter->options().exact) {
          // A part of it at most is here.
          EXPECT_THROW((void)slot.parameter->master(), Error) << slot.name;
          continue;
        }
        const Tensor expected = training.store().view(whole, slot);
        EXPECT_EQ(std::memcmp(slot.parameter->master().value().raw(), expected.raw(), expected.bytes()), 0)
            << when << ' ' << slot.name;
      }
    };
    check("at first");
    training.steps(0, 3);
    check("after steps");
    training.model().swap_average();
    check("as average");
    training.model().swap_average();
    training.save(folder / "bf16.h5");
    Training other(ranks, data, true, 99, "bfloat16", settings(Shard::optimizer));
    other.model().load(checkpoint::verify(folder / "bf16.h5"), folder / "bf16.h5");
    EXPECT_EQ(other.values(true), training.values(true));
    EXPECT_EQ(other.values(false), training.values(false));
    training.steps(3, 4);
    check("one step later");
  }
}

TEST_F(ShardedState, ACheckpointHasTheBytesOfTheOthers) {
  for (const Communicator& ranks : layouts(world)) {
    Training training(ranks, data, true, 5, "float32", settings(Shard::gradients));
    training.steps(0, 2);
    training.save(folder / "sharded.h5");
    const auto written = checkpoint::verify(folder / "sharded.h5");
    // Read by ranks without a share, written by one rank.
    Training plain(world.alone(), data, true, 99);
    plain.model().load(written, folder / "sharded.h5");
    if (world.rank() == 0) plain.save(folder / "plain.h5");
    world.barrier();
    const auto again = checkpoint::verify(folder / "plain.h5");
    EXPECT_EQ(checkpoint::digest(again), checkpoint::digest(written));
    // And back, after which training goes on alike.
    Training resumed(ranks, data, true, 99, "float32", settings(Shard::gradients));
    resumed.model().load(again, folder / "plain.h5");
    training.steps(2, 4);
    resumed.steps(2, 4);
    EXPECT_EQ(resumed.values(false), training.values(false));
  }
}

/// Bytes that this process may touch of arenas that ranks can share.
std::size_t mapped_bytes() {
  std::size_t sum = 0;
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    if (line.find("/memfd:tessera") == std::string::npos || line.find(" rw-s ") == std::string::npos)
      continue;
    const std::size_t dash = line.find('-');
    sum += std::stoull(line.substr(dash + 1), nullptr, 16) - std::stoull(line, nullptr, 16);
  }
  return sum;
}

TEST_F(ShardedState, AHolderKeepsItsShareAlone) {
  constexpr double page = 4096;
  for (const Communicator& ranks : layouts(world)) {
    for (const char* precision : {"float32", "bfloat16"}) {
      const double copy = std::string(precision) == "bfloat16" ? 2 : 0;
      const double share = static_cast<double>(ranks.node_size()) / ranks.size();
      for (const Shard mode : {Shard::none, Shard::optimizer, Shard::gradients}) {
        const std::size_t before = mapped_bytes();
        Training training(ranks, data, true, 5, precision, {.mode = mode, .bucket_bytes = 1 << 18});
        train::ModelState& model = training.model();
        const double trainable = 4.0 * static_cast<double>(model.store().trainable_elements());
        const double values = 4.0 * static_cast<double>(model.store().arena_elements());
        double exact = 0;
        for (const nn::ParameterSlot& slot : model.store().slots()) {
          if (slot.parameter->options().exact) exact += 4.0 * static_cast<double>(slot.count);
        }
        const auto buckets =
            model.sharding() == nullptr ? 0.0 : static_cast<double>(model.sharding()->buckets().size());
        const double rounding = (2 * buckets + 1) * page;  // at both ends of every part
        std::map<std::string, std::size_t> held = model.held_bytes();
        const auto expect = [&](const char* arena, double least, double most) {
          EXPECT_GE(static_cast<double>(held.at(arena)), least - 64 * buckets) << arena << ' ' << precision;
          EXPECT_LE(static_cast<double>(held.at(arena)), most + rounding + 64 * buckets)
              << arena << ' ' << precision;
        };
        const double part = mode == Shard::none ? 1 : share;
        for (const char* arena : {"first_moment", "second_moment", "average"}) {
          expect(arena, part * trainable, part * trainable);
        }
        if (mode == Shard::none || copy == 0) {
          expect("values", values, values);
        } else {
          const auto exact_slots = static_cast<double>(model.store().slots().size());
          expect("values", share * values, share * values + exact + 2 * exact_slots * page);
        }
        const double gradients = mode == Shard::gradients ? trainable / ranks.size() : trainable;
        expect("gradients", gradients, gradients);
        // What the system says that is mapped: all but gradients, which are the rank's own.
        std::size_t shared = 0;
        for (const auto& [arena, bytes] : held) shared += arena == "gradients" ? 0 : bytes;
        EXPECT_EQ(mapped_bytes() - before, shared);
        world.barrier();
      }
    }
  }
}

TEST_F(ShardedState, OneNodeHasEverythingOnceInAnyCase) {
  if (!train::GradientRoute::once_per_node(world)) GTEST_SKIP() << "needs all ranks on one node";
  Training training(world, data, false, 5, "bfloat16", settings(Shard::gradients));
  EXPECT_EQ(training.model().sharding(), nullptr);
}

}  // namespace
}  // namespace tessera::test
