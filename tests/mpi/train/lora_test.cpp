// Low-rank adapters in whole runs: what they leave alone, what goes into files of their own.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mpi/train/adapter_run.hpp"

namespace tessera::test {
namespace {

using checkpoint::Description;
using checkpoint::FileKind;
using checkpoint::Weights;
using testing::HasSubstr;

constexpr const char* adapter = "model.adapter={name=\"lora\",rank=2,alpha=3.0}";

bool added(const std::string& parameter) { return parameter.find(".lora_") != std::string::npos; }

struct LoraRun : AdapterRun {
  LoraRun() : AdapterRun({adapter}) {}
};

TEST_F(LoraRun, LeavesTheBaseBitForBitAndTrainsEveryBranch) {
  const Description adapted = run("adapted");
  const auto before = group(base, "model");
  std::size_t unchanged = 0;
  for (const auto& [name, entry] : group(adapted, "model")) {
    if (added(name)) continue;
    EXPECT_EQ(entry.crc, before.at(name).crc) << name;
    ++unchanged;
  }
  EXPECT_EQ(unchanged, before.size());
  const auto moments = group(adapted, "first_moment");
  EXPECT_FALSE(moments.empty());
  for (const auto& [name, entry] : moments) {
    EXPECT_TRUE(added(name)) << name;
    const std::vector<double> values = numbers(newest("adapted"), group(adapted, "model").at(name));
    // B starts at zero; some captions are null, but none of these matrices is without use.
    EXPECT_TRUE(std::ranges::any_of(values, [](double value) { return std::abs(value) > 1e-5; })) << name;
  }
  // The first step sees the base alone; its gradient leads away from it.
  ConfigTree plain = tree({"model.adapter={name=\"none\"}"});
  run_tree(world, plain, folder / "plain");
  world.barrier();
  EXPECT_EQ(losses(folder / "adapted")[0], losses(folder / "plain")[0]);
  EXPECT_NE(losses(folder / "adapted")[2], losses(folder / "plain")[2]);
}

TEST_F(LoraRun, GoesOnInTheSameBits) {
  run("whole", {"stage.0.ema_smoothing=0.5"});
  run_with_cuts(world, tree({"stage.0.ema_smoothing=0.5"}), folder / "cut", {1, 2}, 1);
  world.barrier();
  EXPECT_EQ(final_bits(folder / "cut"), final_bits(folder / "whole"));
}

TEST_F(LoraRun, RecomputationTrainsTheSameBranches) {
  run("kept");
  run("recomputed", {"model.backbone.recompute=true"});
  world.barrier();
  EXPECT_LT(difference(losses(folder / "recomputed"), losses(folder / "kept")), 1e-5);
}

TEST_F(LoraRun, AStageMayAdaptWhatTheOneBeforeTrained) {
  const ConfigTree two = one_stage(folder / "data", R"(
[[stage]]
name = "base"
steps = 2
resolution = 16
batch = 7
learning_rate = 3e-3
[[stage]]
name = "adapted"
steps = 1
resolution = 16
batch = 7
learning_rate = 1e-2
hand_over = "weights"
[stage.model.adapter]
name = "lora"
rank = 2
)");
  ASSERT_EQ(run_tree(world, two, folder / "two"), ExitCode::done);
  world.barrier();
  const std::string first = folder / "two/checkpoints/step-00000002.h5";
  const Description trained = checkpoint::describe(first);
  const Description alone = exported("two");
  EXPECT_EQ(alone.base->checkpoint, "");
  EXPECT_EQ(alone.base->digest, checkpoint::digest(checkpoint::weights_in(trained, first, Weights::trained)));
  EXPECT_THAT(failure({"start.hand_over=full"}), HasSubstr("hand_over = \"weights\""));
}

TEST_F(LoraRun, TheAdapterFileHoldsWhatWasTrainedAndNamesItsBase) {
  const Description adapted = run("adapted");
  const Description alone = exported("adapted");
  const auto trained = group(adapted, "first_moment");
  ASSERT_EQ(alone.tensors.size(), trained.size());
  for (const auto& [name, entry] : group(alone, "adapter")) {
    EXPECT_TRUE(trained.contains(name)) << name;
    EXPECT_EQ(entry.crc, group(adapted, "model").at(name).crc) << name;
  }
  ASSERT_TRUE(alone.base.has_value());
  EXPECT_EQ(alone.base->checkpoint, base_file);
  EXPECT_EQ(alone.base->weights, "trained");
  EXPECT_EQ(alone.base->digest,
            checkpoint::digest(checkpoint::weights_in(base, base_file, Weights::trained)));
  EXPECT_LT(alone.file_bytes, base.file_bytes / 4);
  EXPECT_THROW((void)checkpoint::describe(folder / "adapted.h5"), Error);
  EXPECT_THROW((void)checkpoint::describe(base_file, FileKind::adapter), Error);
  EXPECT_THROW(train::export_adapter(registry(), base_file, Weights::trained, folder / "x.h5", world.alone()),
               Error);

  run("average", {"start.weights=average", "stage.0.ema_smoothing=0.5"});
  const Description averaged = exported("average");
  EXPECT_EQ(averaged.base->weights, "average");
  EXPECT_EQ(averaged.base->digest,
            checkpoint::digest(checkpoint::weights_in(base, base_file, Weights::average)));
  const Description average_run = checkpoint::describe(newest("average"));
  for (const auto& [name, entry] : group(averaged, "adapter")) {
    EXPECT_EQ(entry.crc, group(average_run, "average").at(name).crc) << name;
  }
  for (const auto& [name, entry] : group(exported("average", Weights::trained), "adapter")) {
    EXPECT_EQ(entry.crc, group(average_run, "model").at(name).crc) << name;
  }
}

TEST_F(LoraRun, MergingGivesANormalCheckpointOfTheSum) {
  run("adapted");
  const Description alone = exported("adapted");
  const std::string file = folder / "merged.h5";
  world.together([&] {
    if (world.rank() != 0) return;
    train::merge_adapter(registry(), base_file, Weights::trained, folder / "adapted.h5", file, world.alone());
  });
  world.barrier();
  const Description merged = checkpoint::verify(file);
  const auto before = group(base, "model");
  const auto additions = group(alone, "adapter");
  const auto after = group(merged, "model");
  ASSERT_EQ(after.size(), before.size());
  ASSERT_EQ(merged.tensors.size(), before.size());
  EXPECT_EQ(merged.state.config, base.state.config);
  std::size_t changed = 0;
  for (const auto& [name, entry] : after) {
    const std::string owner = name.substr(0, name.rfind('.'));
    if (!name.ends_with(".weight") || !additions.contains(owner + ".lora_A.weight")) {
      EXPECT_EQ(entry.crc, before.at(name).crc) << name;
      continue;
    }
    ++changed;
    std::vector<double> expected = numbers(base_file, before.at(name));
    const std::vector<double> a = numbers(folder / "adapted.h5", additions.at(owner + ".lora_A.weight"));
    const std::vector<double> b = numbers(folder / "adapted.h5", additions.at(owner + ".lora_B.weight"));
    const auto in = static_cast<std::size_t>(entry.shape[1]);
    for (std::size_t i = 0; i < expected.size(); ++i) {
      for (std::size_t r = 0; r < 2; ++r) expected[i] += 1.5 * b[i / in * 2 + r] * a[r * in + i % in];
    }
    const std::vector<double> found = numbers(file, entry);
    for (std::size_t i = 0; i < found.size(); ++i) ASSERT_NEAR(found[i], expected[i], 1e-6) << name;
  }
  EXPECT_EQ(changed * 2, additions.size());

  // A run may start from it, like from any other.
  ConfigTree next = tree({"model.adapter={name=\"none\"}", "start.checkpoint=" + file});
  EXPECT_EQ(run_tree(world, next, folder / "next"), ExitCode::done);
}

TEST_F(LoraRun, IsRefusedWhereItDoesNotFit) {
  EXPECT_THAT(failure({}, false), HasSubstr("[start] checkpoint"));
  EXPECT_THAT(failure({"model.adapter={name=\"lora\",targets=[\"attn.qvk\"]}"}), HasSubstr("'attn.qkv'"));
  EXPECT_THAT(failure({"model.backbone.depth=3"}), HasSubstr("blocks.*.attn.qkv.weight"));
  EXPECT_THAT(failure({"model.backbone.depth=3"}), HasSubstr("old model has no values"));
  EXPECT_THAT(failure({"start.hand_over=full"}), HasSubstr("hand_over = \"weights\""));
  EXPECT_THAT(failure({"model.adapter={name=\"lora\",rnak=3}"}), HasSubstr("did you mean 'rank'"));
  EXPECT_TRUE(losses(folder / "refused").empty());
}

}  // namespace
}  // namespace tessera::test
