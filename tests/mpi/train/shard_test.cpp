// Sharded runs: the same losses in every mode, and checkpoints that do not know of it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "generate/sample_hook.hpp"
#include "io/file.hpp"
#include "mpi/train/adapter_run.hpp"
#include "mpi/train/shard_run.hpp"

namespace tessera::test {
namespace {

using comm::Communicator;

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
