// Sharded training: the same losses, less memory, and checkpoints that do not know of it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <map>

#include "generate/sample_hook.hpp"
#include "io/png.hpp"
#include "mpi/train/adapter_run.hpp"
#include "mpi/train/toy_training.hpp"
#include "ops/accumulate.hpp"

namespace tessera::test {
namespace {

using comm::Communicator;
using train::Shard;

/// Every rank with a memory of its own; and nodes of two, one of them smaller where there are three ranks.
std::vector<Communicator> layouts(const Communicator& world) {
  std::vector<Communicator> all{world.on_nodes_of(1)};
  if (world.size() > 2) all.push_back(world.on_nodes_of(2));
  return all;
}

/// Several buckets in a toy model.
std::vector<std::string> sharded(const std::string& mode) {
  return {"run.shard=" + mode, "run.shard_bucket=0.03"};
}
train::ShardSettings settings(Shard mode) { return {.mode = mode, .bucket_bytes = 30000}; }

std::vector<std::string> with(std::vector<std::string> a, const std::vector<std::string>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

struct Sharded : testing::Test {
  Sharded() {
    make_data(world, data);
    if (world.size() == 1) skipped = "needs several ranks";
  }
  void SetUp() override {
    if (!skipped.empty()) GTEST_SKIP() << skipped;
  }
  Communicator world = Communicator::world();
  CommonFolder folder{world};
  std::string data = folder / "data";
  std::string skipped;
};

void tell(const Communicator& world, const std::string& what, double difference) {
  if (world.rank() == 0) {
    std::printf("%s: largest relative difference of a loss %.2e\n", what.c_str(), difference);
  }
}

/// The toy run with fewer steps: masking, experts, accumulation, clipping, two stages and an average.
ConfigTree short_run(const std::string& data, const std::string& precision) {
  ConfigTree tree = toy_configuration(data, precision);
  for (const char* setting : {"stage.0.steps=14", "stage.1.steps=10", "stage.1.ema_start=3"})
    tree.set(setting);
  return tree;
}

void expect_sharded(const std::string& run, const Communicator& ranks) {
  const int holders = (ranks.size() + ranks.node_size() - 1) / ranks.node_size();
  EXPECT_THAT(io::read_file(run + "/log.txt"),
              testing::HasSubstr("Sharded over " + std::to_string(holders) + " memories"));
}

TEST_F(Sharded, EveryModeGivesTheSameCurveInFloat64) {
  const ConfigTree tree = short_run(data, "float64");
  if (world.rank() == 0) run_tree(world.alone(), tree, folder / "one");
  world.barrier();
  double worst = 0;
  int layout = 0;
  for (const Communicator& ranks : layouts(world)) {
    ++layout;
    for (const char* mode : {"optimizer", "gradients"}) {
      const std::string name = folder / (mode + std::to_string(layout));
      EXPECT_EQ(run_tree(ranks, tree, name, false, {}, sharded(mode)), ExitCode::done);
      world.barrier();
      const double difference = test::difference(losses(name), losses(folder / "one"));
      EXPECT_LT(difference, 1e-9) << name;
      worst = std::max(worst, difference);
      if (world.rank() == 0) expect_sharded(name, ranks);
    }
  }
  tell(world, "sharded, float64", worst);
}

TEST_F(Sharded, EveryModeGivesTheSameCurveInShorterTypes) {
  const Communicator ranks = layouts(world).back();
  for (const auto& [precision, tolerance] : {std::pair{"float32", 1e-4}, {"bfloat16", 2e-2}}) {
    const ConfigTree tree = short_run(data, precision);
    const std::string plain = folder / (std::string(precision) + "none");
    run_tree(ranks, tree, plain);
    for (const char* mode : {"optimizer", "gradients"}) {
      const std::string name = folder / (std::string(precision) + mode);
      run_tree(ranks, tree, name, false, {}, sharded(mode));
      world.barrier();
      const double difference = test::difference(losses(name), losses(plain));
      EXPECT_LT(difference, tolerance) << name;
      tell(world, "sharded " + std::string(mode) + ", " + precision, difference);
      if (world.rank() == 0) expect_sharded(name, ranks);
    }
  }
}

// Stages with other parameters, hand-overs by weights and by values derived from several, and sample grids
// drawn with the average.
TEST_F(Sharded, StagesAndSamplesAreTheSame) {
  const Communicator ranks = layouts(world).back();
  train::Hooks hooks;
  hooks.sample = generate::sample_grid;
  const auto run = [&](const std::string& precision, const std::string& mode) {
    const std::string name = precision + mode;
    run_tree(
        ranks, staged_configuration(data, precision), folder / name, false, hooks,
        with(sharded(mode), {"stage.3.sample_prompts=[\"picture\"]", "stage.3.sampler.steps=2",
                             "stage.0.steps=3", "stage.1.steps=3", "stage.2.steps=4", "stage.3.steps=2"}));
    world.barrier();
    return losses(folder / name);
  };
  EXPECT_LT(difference(run("float64", "gradients"), run("float64", "none")), 1e-9);
  for (const int step : {6, 12}) {
    const std::string name = checkpoint::file_name(step);
    const std::string png = "/samples/" + name.substr(0, name.size() - 2) + "png";
    EXPECT_EQ(io::read_file(folder / ("float64gradients" + png)),
              io::read_file(folder / ("float64none" + png)))
        << step;
  }
  EXPECT_LT(difference(run("bfloat16", "gradients"), run("bfloat16", "none")), 2e-2);
}

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

TEST_F(Sharded, ValuesAndAverageAreThoseOfTheOthers) {
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
TEST_F(Sharded, EveryRankHasTheSameCopyOfTheValues) {
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

TEST_F(Sharded, ACheckpointHasTheBytesOfTheOthers) {
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

// Sharded, whole, sharded in another way: cut in both stages, before and after the average began.
TEST_F(Sharded, ARunGoesOnInAnyMode) {
  const ConfigTree tree = short_run(data, "float64");
  if (world.rank() == 0) run_tree(world.alone(), tree, folder / "one");
  world.barrier();
  const auto until = [&](std::int64_t last) {
    train::Hooks hooks;
    hooks.sample = [last](const train::SampleRequest& request) -> io::Image {
      if (request.global_step == last) throw PowerCut{};
      return {};
    };
    return hooks;
  };
  const std::vector<std::string> cut{"run.checkpoint_every=5", "run.sample_every=1",
                                     "run.sample_prompts=[\"one\"]"};
  const Communicator ranks = layouts(world).back();
  EXPECT_THROW(run_tree(ranks, tree, folder / "run", false, until(7), with(cut, sharded("optimizer"))),
               PowerCut);
  world.barrier();
  if (world.rank() == 0) {
    EXPECT_THROW(run_tree(world.alone(), tree, folder / "run", true, until(12), cut), PowerCut);
  }
  world.barrier();
  EXPECT_THROW(
      run_tree(world.on_nodes_of(1), tree, folder / "run", true, until(23), with(cut, sharded("gradients"))),
      PowerCut);
  world.barrier();
  EXPECT_EQ(run_tree(world, tree, folder / "run", true), ExitCode::done);
  world.barrier();
  EXPECT_EQ(losses(folder / "run").size(), 24U);
  const double worst = difference(losses(folder / "run"), losses(folder / "one"));
  EXPECT_LT(worst, 1e-9);
  tell(world, "resumed in other modes", worst);
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

TEST_F(Sharded, AHolderKeepsItsShareAlone) {
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

TEST_F(Sharded, OneNodeHasEverythingOnceInAnyCase) {
  if (!train::GradientRoute::once_per_node(world)) GTEST_SKIP() << "needs all ranks on one node";
  Training training(world, data, false, 5, "bfloat16", settings(Shard::gradients));
  EXPECT_EQ(training.model().sharding(), nullptr);
}

// Of an adapter the optimizer is small, and the frozen base what is split in bfloat16.
TEST_F(Sharded, AnAdapterTrainsTheSame) {
  run_tree(world, base_tree(data), folder / "base");
  world.barrier();
  const std::string base = folder / ("base/checkpoints/" + checkpoint::file_name(4));
  const Communicator ranks = layouts(world).back();
  for (const auto& [precision, tolerance] : {std::pair{"float64", 1e-9}, {"bfloat16", 2e-2}}) {
    const auto run = [&](const std::string& mode) {
      const std::string name = std::string(precision) + mode;
      ConfigTree tree = one_stage(data, R"(
[[stage]]
name = "adapted"
steps = 3
resolution = 16
batch = 7
micro_batch = 2
learning_rate = 1e-2
ema_smoothing = 0.5
)",
                                  precision);
      tree.set("start.checkpoint", FieldValue(base));
      tree.set("model.adapter={name=\"lora\",rank=2,alpha=3.0}");
      run_tree(ranks, tree, folder / name, false, {}, sharded(mode));
      world.barrier();
      return checkpoint::newest_intact(folder / (name + "/checkpoints")).value().description;
    };
    const auto plain = run("none"), sharded_run = run("gradients");
    const std::string first = folder / (std::string(precision) + "none");
    EXPECT_LT(difference(losses(folder / (std::string(precision) + "gradients")), losses(first)), tolerance);
    const auto before = group(plain, "model");
    std::size_t frozen = 0;
    for (const auto& [name, entry] : group(sharded_run, "model")) {
      if (name.find(".lora_") != std::string::npos) continue;
      EXPECT_EQ(entry.crc, before.at(name).crc) << name;
      ++frozen;
    }
    EXPECT_GT(frozen, 20U);
  }
}

}  // namespace
}  // namespace tessera::test
