// Plans of the published models against the published numbers: parameters to the unit (recipes M.A.8), the
// paper's arithmetic (Table 6) within half a percent.

#include "launch/plan/plan.hpp"

#include <gtest/gtest.h>

#include <filesystem>

#include "ops/graph.hpp"
#include "tensor/tensor.hpp"
#include "unit/generate/small_model.hpp"

namespace tessera::launch {
namespace {

const Registry& registry() {
  static const Registry loaded = Registry::with_installed_plugins();
  return loaded;
}

std::filesystem::path configs() {
  const std::filesystem::path here = __FILE__;
  return here.parent_path().parent_path().parent_path().parent_path() / "configs";
}

ConfigTree tree_of(const std::string& name) { return ConfigTree::load({configs() / name}); }

train::RunConfig configuration(const std::string& name) { return train::RunConfig::resolve(tree_of(name)); }

std::int64_t count(const Plan& plan, const std::string& part) {
  for (const ParameterPart& other : plan.models.at(0).parameters.parts) {
    if (other.name == part) return other.count;
  }
  return -1;
}

TEST(Plan, tiny_has_the_published_parameters) {
  const train::RunConfig config = configuration("microdit/tiny-2.toml");
  const Plan plan = make_plan(registry(), config, 8);
  EXPECT_EQ(plan.models.at(0).parameters.total, 200692752);
  EXPECT_EQ(plan.models.at(0).parameters.experts, 106954752);
  EXPECT_EQ(plan.models.at(0).parameters.active, 120476688);
  EXPECT_EQ(count(plan, "patch embedding"), 8704);
  EXPECT_EQ(count(plan, "noise embedding"), 525312);
  EXPECT_EQ(count(plan, "caption projection"), 787968);
  EXPECT_EQ(count(plan, "caption block"), 3408896);
  EXPECT_EQ(count(plan, "pooled caption"), 525824);
  EXPECT_EQ(count(plan, "patch mixer, blocks"), 52979712);
  EXPECT_EQ(count(plan, "backbone blocks"), 141922304);
  EXPECT_EQ(count(plan, "final layer"), 534032);
}

TEST(Plan, xl_has_the_published_parameters_and_arithmetic) {
  const train::RunConfig config = configuration("microdit/xl-2.toml");
  reset_peak_memory();
  const std::size_t before = memory_statistics().current;
  const Plan plan = make_plan(registry(), config, 8);
  EXPECT_LT(memory_statistics().peak - before, std::size_t{1} << 20) << "a plan took tensor memory";

  EXPECT_EQ(plan.models.at(0).parameters.total, 1165442320);
  EXPECT_EQ(plan.models.at(0).parameters.experts, 603979776);
  EXPECT_EQ(plan.models.at(0).parameters.active, 712457488);
  EXPECT_EQ(count(plan, "patch mixer, blocks"), 184084992);
  EXPECT_EQ(count(plan, "patch mixer, map in"), 787456);
  EXPECT_EQ(count(plan, "patch mixer, map out"), 787200);
  EXPECT_EQ(count(plan, "patch mixer, caption map"), 787456);
  EXPECT_EQ(count(plan, "backbone blocks"), 958238720);

  const double paper[] = {1.47e20, 4.53e19, 1.18e20, 3.48e19};
  // GMAC of one forward pass, by executing the published code (recipes M.A.9).
  const double gmac[] = {47.05, 119.07, 178.23, 500.46};
  const double attention[] = {1.27, 4.96, 14.6, 63.5};
  const double one_hot[] = {0.82, 4.09, 13.15, 65.50};
  const std::int64_t kept[] = {64, 256, 256, 1024};
  ASSERT_EQ(plan.stages.size(), 4U);
  for (std::size_t i = 0; i < 4; ++i) {
    const StagePlan& stage = plan.stages[i];
    SCOPED_TRACE(stage.settings->name);
    EXPECT_EQ(stage.kept, kept[i]);
    EXPECT_NEAR(stage.one_hot_training_flops() / paper[i], 1.0, 0.005);
    EXPECT_LT(stage.training_flops(), stage.one_hot_training_flops());
    EXPECT_NEAR(stage.forward.flops() / 2e9, gmac[i], 0.005 * gmac[i]);
    EXPECT_NEAR(stage.forward.attention / 2e9, attention[i], 0.01 * attention[i]);
    EXPECT_NEAR(stage.forward.one_hot / 2e9, one_hot[i], 0.01 * one_hot[i]);
  }
}

/// A run of one stage at 256 pixels on a model of configs/pixart/.
train::RunConfig pixart_run(const std::string& model) {
  ConfigTree tree = ConfigTree::load({configs() / "pixart" / (model + ".toml")});
  tree.merge(ConfigTree::parse(R"(
    [data]
    path = ["nowhere"]
    [[stage]]
    name = "256px"
    steps = 1
    resolution = 256
    batch = 64
    learning_rate = 2e-5
  )",
                               "stage"));
  return train::RunConfig::resolve(tree);
}

TEST(Plan, captions_of_full_length_sizes_and_labels_are_in_it) {
  // GMAC of one forward pass, by executing the published code (recipes P.A.8).
  const std::pair<const char*, double> models[] = {
      {"model-xl-2", 149.05}, {"model-xl-2-ms", 149.05}, {"model-dit-xl-2", 118.6}};
  for (const auto& [name, gmac] : models) {
    SCOPED_TRACE(name);
    const train::RunConfig config = pixart_run(name);
    const Plan plan = make_plan(registry(), config, 8);
    ASSERT_EQ(plan.stages.size(), 1U);
    EXPECT_NEAR(plan.stages[0].forward.flops() / 2e9, gmac, 0.1);
    EXPECT_GT(plan.stages[0].activation_bytes, std::uint64_t{8} * 28 * 256 * 1152 * 4);
  }
  const Plan plan = make_plan(registry(), pixart_run("model-xl-2-ms"), 8);
  const ParameterPlan& parameters = plan.models.at(0).parameters;
  EXPECT_EQ(parameters.total - parameters.frozen, 611349152);
  EXPECT_EQ(count(plan, "null caption"), 120 * 4096);
  EXPECT_EQ(count(plan, "caption projection"), 6048000);
  EXPECT_EQ(count(plan, "modulation of all blocks"), 7969536);
  EXPECT_EQ(count(plan, "size embedding"), 246528);
  EXPECT_EQ(count(plan, "aspect ratio embedding"), 246528);
  EXPECT_EQ(count(make_plan(registry(), pixart_run("model-dit-xl-2"), 8), "class embedding"), 1001 * 1152);
}

TEST(Plan, pixart_has_the_rows_of_its_table) {
  const train::RunConfig config = configuration("pixart/xl-2.toml");
  const Plan plan = make_plan(registry(), config, 64);
  struct Row {
    std::int64_t parameters;  // trainable; recipes P.A.7
    double gmac;              // of a forward pass at the square size; recipes P.A.8
    double pictures;          // Table 4: steps x batch
  };
  const Row rows[] = {{674834720, 118.6, 300e3 * 178 * 64},
                      {610856096, 149.05, 1500e3 * 178 * 64},
                      {611349152, 149.05, 900e3 * 178 * 64},
                      {611349152, 617.99, 100e3 * 40 * 64},
                      {611349152, 3254.76, 16e3 * 12 * 32}};
  ASSERT_EQ(plan.stages.size(), 5U);
  for (std::size_t i = 0; i < 5; ++i) {
    const StagePlan& stage = plan.stages[i];
    SCOPED_TRACE(stage.settings->name);
    const ParameterPlan& parameters = plan.models.at(stage.model).parameters;
    EXPECT_EQ(parameters.total - parameters.frozen, rows[i].parameters);
    EXPECT_NEAR(stage.forward.flops() / 2e9, rows[i].gmac, 0.002 * rows[i].gmac);
    EXPECT_EQ(static_cast<double>(stage.settings->steps) * static_cast<double>(stage.settings->batch),
              rows[i].pictures);
  }
}

TEST(Plan, choices_on_which_paper_and_code_differ_change_the_parameters_as_counted_by_hand) {
  const auto total = [](const std::string& name, const std::vector<std::string>& settings) {
    ConfigTree tree = tree_of(name);
    for (const std::string& setting : settings) tree.set(setting);
    return make_plan(registry(), train::RunConfig::resolve(tree), 8).models.at(0).parameters;
  };
  // Three matrices of two thirds of the width, each rounded up to 256.
  const ParameterPlan gated = total("microdit/xl-2.toml", {"model.experts.activation=swiglu"});
  EXPECT_EQ(gated.total, 1190608144);
  EXPECT_EQ(gated.experts, 629145600);
  EXPECT_EQ(total("microdit/tiny-2.toml", {"model.experts.activation=swiglu"}).total, 203838480);
  // The last block: 8 experts of 1024 x 4096 and back, and their gate, for SwiGLU of 1024 x 2816.
  EXPECT_EQ(total("microdit/xl-2.toml", {"model.backbone.experts_in_last=true"}).total,
            1165442320 + 8 * 2 * 1024 * 4096 + 8 * 1024 - 3 * 1024 * 2816);
  // Three mixer blocks: SwiGLU of 768 x 2048 for 8 experts of 768 x 3072 and back, and their gate.
  EXPECT_EQ(total("microdit/xl-2.toml", {"model.patch_mixer.experts_every=0"}).total,
            1165442320 - 3 * (8 * 2 * 768 * 3072 + 8 * 768 - 3 * 768 * 2048));
  EXPECT_EQ(total("microdit/xl-2.toml", {"model.patch_mixer.experts_in_last=false"}).total,
            1165442320 - (8 * 2 * 768 * 3072 + 8 * 768 - 3 * 768 * 2048));
  EXPECT_EQ(total("microdit/xl-2.toml", {"codec.channels=16"}).total,
            1165540672);  // published (recipes M.A.8)
  EXPECT_EQ(total("microdit/xl-2.toml", {"model.backbone.qk_norm_over=each-head"}).total, 1165442320);
}

TEST(Plan, memory_follows_the_precision_and_the_batch) {
  train::RunConfig config = configuration("microdit/tiny-2.toml");
  const Plan bf16 = make_plan(registry(), config, 8);
  EXPECT_GE(bf16.models[0].state.values, std::uint64_t{4} * 200692752);
  EXPECT_LT(bf16.models[0].state.values, std::uint64_t{4} * 200692752 + 100000);
  EXPECT_EQ(bf16.models[0].state.compute_copy, bf16.models[0].state.values / 2);
  EXPECT_EQ(bf16.models[0].state.moments, 2 * bf16.models[0].state.values);
  EXPECT_EQ(bf16.models[0].state.average, bf16.models[0].state.values);
  EXPECT_EQ(bf16.stages[0].micro_batch, 256);

  config.stages[0].micro_batch = 128;
  const Plan half = make_plan(registry(), config, 8);
  const double ratio = static_cast<double>(half.stages[0].activation_bytes) /
                       static_cast<double>(bf16.stages[0].activation_bytes);
  EXPECT_NEAR(ratio, 0.5, 0.02);
  // the blocks' inputs alone
  EXPECT_GT(half.stages[0].activation_bytes, std::uint64_t{128} * (16 * 64 + 4 * 256) * 512 * 2);

  config.stages[0].micro_batch = 0;
  EXPECT_EQ(make_plan(registry(), config, 1024).stages[0].micro_batch, 2);
}

// By hand from the ZeRO paper's section 3: of K parameters trained in mixed precision, of W memories.
TEST(Plan, sharding_divides_what_it_says) {
  const Plan plan = make_plan(registry(), configuration("microdit/tiny-2.toml"), 8);
  const StateBytes whole = plan.models[0].state;
  const double parameters = 200692752;
  const auto of = [&](train::Shard mode, MemoryLayout layout) {
    return held_by(whole, {.mode = mode}, layout);
  };
  const auto expect = [&](std::uint64_t bytes, double per_parameter) {
    EXPECT_NEAR(static_cast<double>(bytes), per_parameter * parameters, 1e5);
  };
  EXPECT_EQ(of(train::Shard::none, {.holders = 8}).all(), whole.all());
  // Products read the copy; biases, gains and the conditioning's matrices are read in float32 as well.
  const auto exact = static_cast<double>(whole.exact_values) / parameters;
  EXPECT_GT(exact, 0.1);
  EXPECT_LT(exact, 2);
  const StateBytes first = of(train::Shard::optimizer, {.holders = 8});
  expect(first.values, exact + (4 - exact) / 8);
  expect(first.compute_copy, 2);
  expect(first.moments, 8.0 / 8);
  expect(first.average, 4.0 / 8);
  expect(first.gradients, 4);
  const StateBytes second = of(train::Shard::gradients, {.holders = 8});
  expect(second.gradients, 4.0 / 8);
  EXPECT_EQ(second.common(), first.common());
  EXPECT_LT(second.all(), first.all());
  // Two nodes of four ranks: a node has its share once, every rank of it gradients.
  const StateBytes node = of(train::Shard::optimizer, {.holders = 2, .ranks = 4});
  expect(node.moments, 8.0 / 2);
  expect(node.gradients, 4 * 4);
  expect(of(train::Shard::gradients, {.holders = 2, .ranks = 4}).gradients, 4.0 / 2);
  // On one node everything is there once in any mode.
  for (const train::Shard mode : {train::Shard::none, train::Shard::gradients}) {
    EXPECT_EQ(of(mode, {.holders = 1, .ranks = 8}).all(), whole.all());
  }
  EXPECT_LT(plan.most_bytes({.mode = train::Shard::gradients}, 8), plan.most_bytes({}, 8));

  // In float32 every operation reads the values.
  train::RunConfig config = configuration("microdit/tiny-2.toml");
  config.run.precision = "float32";
  const StateBytes exactly = make_plan(registry(), config, 8).models[0].state;
  EXPECT_EQ(held_by(exactly, {.mode = train::Shard::gradients}, {.holders = 8}).values, exactly.values);
}

TEST(Plan, activations_are_what_a_real_step_takes) {
  train::RunConfig config =
      train::RunConfig::resolve(ConfigTree::parse(generate::small_configuration(), "small.toml"));
  config.stages[1].batch = 16;
  const Plan plan = make_plan(registry(), config, 1);

  generate::SmallModel model;
  const std::int64_t batch = 16;
  const Tensor latents = Tensor::zeros({batch, 3, 16, 16}, DType::f32);
  const ObjectiveDraws draws = model.components.objective().draw({}, 0, latents.shape(), DType::f32);
  for (int pass = 0; pass < 2; ++pass) {  // position tables are made in the first one and stay
    const Tensor captions = Tensor::zeros({batch, 4, 16}, DType::f32);
    model.store.clear_gradients();
    reset_peak_memory();
    const std::size_t before = memory_statistics().current - latents.bytes() - draws.level.bytes() -
                               draws.noise.bytes() - captions.bytes();
    const ObjectiveLoss loss = model.components.objective().loss(
        model.components.backbone(), {latents, {{ops::Variable(captions), {}}, {}}, nullptr}, draws);
    ops::backward(loss.per_image, Tensor::zeros({batch}, DType::f32));
    const auto measured = static_cast<double>(memory_statistics().peak - before);
    if (pass == 1) {
      EXPECT_NEAR(static_cast<double>(plan.stages[1].activation_bytes) / measured, 1.0, 0.1);
    }
  }
}

}  // namespace
}  // namespace tessera::launch
