// ControlNets in whole runs: they begin as copies of the base, leave it alone, and train the same whatever
// the number of ranks and however often the run is cut.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "generate/sample_hook.hpp"
#include "io/png.hpp"
#include "mpi/train/adapter_run.hpp"

namespace tessera::test {
namespace {

using checkpoint::Description;
using testing::HasSubstr;

constexpr const char* per_block = "model.adapter={name=\"controlnet\"}";
constexpr const char* chain = "model.adapter={name=\"controlnet\",wiring=\"chain\"}";
constexpr const char* maps = "control={name=\"canny\"}";

bool added(const std::string& parameter) { return parameter.starts_with("controlnet."); }

/// "blocks.0.attn.qkv.weight" for "controlnet.0.copied_block.attn.qkv.weight"; empty for what is no copy.
std::string original(const std::string& parameter) {
  const std::string between = ".copied_block.";
  const std::size_t at = parameter.find(between);
  if (at == std::string::npos) return {};
  return "blocks." + parameter.substr(11, at - 11) + "." + parameter.substr(at + between.size());
}

struct ControlNetRun : AdapterRun {
  ControlNetRun() : AdapterRun({per_block, maps}) {}
};

TEST_F(ControlNetRun, BeginsAsTheBaseAndLeavesItAlone) {
  for (const char* wiring : {per_block, chain}) {
    // With a learning rate of zero the newest checkpoint is the start.
    const std::string name = wiring == chain ? "chain" : "per-block";
    const auto start = group(run(name + "-start", {wiring, "stage.0.learning_rate=0.0"}), "model");
    const auto before = group(base, "model");
    std::size_t copies = 0;
    for (const auto& [parameter, entry] : start) {
      if (!added(parameter)) {
        EXPECT_EQ(entry.crc, before.at(parameter).crc) << parameter;
      } else if (const std::string copied = original(parameter); !copied.empty()) {
        EXPECT_EQ(entry.crc, before.at(copied).crc) << parameter;
        ++copies;
      } else {
        for (const double value : numbers(newest(name + "-start"), entry)) ASSERT_EQ(value, 0) << parameter;
      }
    }
    EXPECT_GT(copies, 10U);

    const Description trained = run(name, {wiring});
    for (const auto& [parameter, entry] : group(trained, "model")) {
      if (added(parameter)) {
        EXPECT_NE(entry.crc, start.at(parameter).crc) << parameter;
      } else {
        EXPECT_EQ(entry.crc, before.at(parameter).crc) << parameter;
      }
    }
    for (const auto& [parameter, entry] : group(trained, "first_moment")) EXPECT_TRUE(added(parameter));
    // The first step sees the base alone.
    const ConfigTree plain = tree({"model.adapter={name=\"none\"}"});
    run_tree(world, plain, folder / (name + "-plain"));
    world.barrier();
    EXPECT_EQ(losses(folder / name)[0], losses(folder / (name + "-plain"))[0]);
    EXPECT_NE(losses(folder / name)[2], losses(folder / (name + "-plain"))[2]);
  }
}

TEST_F(ControlNetRun, AnInterruptedRunEndsInTheSameBits) {
  const std::vector<std::string> settings{"stage.0.ema_smoothing=0.5", "stage.0.mask_ratio=0.5"};
  run("whole", settings);
  run_with_cuts(world, tree(settings), folder / "cut", {1, 2}, 1);
  world.barrier();
  EXPECT_EQ(final_bits(folder / "cut"), final_bits(folder / "whole"));
  EXPECT_EQ(losses(folder / "cut"), losses(folder / "whole"));
}

TEST_F(ControlNetRun, EveryNumberOfRanksGivesTheSameCurve) {
  for (const char* wiring : {per_block, chain}) {
    const std::string name = wiring == chain ? "chain" : "per-block";
    const ConfigTree exact = tree({wiring, "stage.0.mask_ratio=0.5"}, "float64");
    if (world.rank() == 0) run_tree(world.alone(), exact, folder / (name + "-one"));
    world.barrier();
    run_tree(world, exact, folder / (name + "-all"));
    world.barrier();
    EXPECT_LT(difference(losses(folder / (name + "-all")), losses(folder / (name + "-one"))), 1e-9);
  }
}

TEST_F(ControlNetRun, RecomputationTrainsTheSameCopies) {
  run("kept");
  run("recomputed", {"model.backbone.recompute=true"});
  world.barrier();
  EXPECT_LT(difference(losses(folder / "recomputed"), losses(folder / "kept")), 1e-5);
}

TEST_F(ControlNetRun, TrainsInAspectBuckets) {
  make_data(world, folder / "shapes", true);
  ConfigTree shapes = bucketed(tree());
  shapes.set("data.path", FieldValue(std::vector<std::string>{folder / "shapes"}));
  EXPECT_EQ(run_tree(world, shapes, folder / "bucketed"), ExitCode::done);
}

TEST_F(ControlNetRun, GoesToAFileOfItsOwnButNotIntoTheModel) {
  const Description trained = run("trained");
  const Description alone = exported("trained");
  const auto moments = group(trained, "first_moment");
  ASSERT_EQ(alone.tensors.size(), moments.size());
  for (const auto& [name, entry] : group(alone, "adapter")) {
    EXPECT_EQ(entry.crc, group(trained, "model").at(name).crc) << name;
  }
  EXPECT_EQ(alone.base->checkpoint, base_file);
  if (world.rank() != 0) return;
  try {
    train::merge_adapter(registry(), base_file, checkpoint::Weights::trained, folder / "trained.h5",
                         folder / "merged.h5", world.alone());
    FAIL() << "merged";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("--adapter FILE"));
  }
}

TEST_F(ControlNetRun, SampleGridsFollowThePicturesThatTheRunNames) {
  io::Image picture(16, 16);
  io::paste(picture, io::Image(8, 8, {200, 0, 0}), 4, 4);
  if (world.rank() == 0) io::write_png(folder / "control.png", picture);
  world.barrier();
  const auto grid = [&](const std::string& name, const std::vector<std::string>& more) {
    train::Hooks hooks;
    io::Image last;
    hooks.sample = [&](const train::SampleRequest& request) { return last = generate::sample_grid(request); };
    std::vector<std::string> settings{"run.sample_prompts=[\"a\", \"b\"]", "run.sample_steps=2"};
    settings.insert(settings.end(), more.begin(), more.end());
    run_tree(world, tree(), folder / name, false, hooks, settings);
    return last;
  };
  const io::Image free = grid("free", {});
  const io::Image controlled =
      grid("controlled", {"run.sample_controls=[\"" + (folder / "control.png") + "\"]"});
  if (world.rank() == 0) {
    EXPECT_FALSE(free.empty());
    EXPECT_FALSE(free == controlled);
  }
}

TEST_F(ControlNetRun, IsRefusedWhereItDoesNotFit) {
  EXPECT_THAT(failure({}, false), HasSubstr("[start] checkpoint"));
  EXPECT_THAT(failure({"control={name=\"none\"}"}), HasSubstr("[control]"));
  const std::string other = failure({"control.high=300"});
  EXPECT_THAT(other, HasSubstr("canny low=100 high=200"));
  EXPECT_THAT(other, HasSubstr("canny low=100 high=300"));
  EXPECT_THAT(failure({"control.name=cany"}), HasSubstr("did you mean 'canny'"));
  EXPECT_THAT(failure({"model.backbone.depth=3"}), HasSubstr("old model has no values"));
  EXPECT_THAT(failure({"model.adapter={name=\"lora\"}", "run.sample_prompts=[\"a\"]",
                       "run.sample_controls=[\"x.png\"]"}),
              HasSubstr("sample_controls"));
  EXPECT_THAT(failure({"run.sample_prompts=[\"a\"]", "run.sample_controls=[\"nowhere.png\"]"}),
              HasSubstr("nowhere.png"));
  EXPECT_TRUE(losses(folder / "refused").empty());
}

}  // namespace
}  // namespace tessera::test
