// A run whose stages have different models: PixArt-alpha's plan in small.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "generate/generator.hpp"
#include "mpi/train/common_folder.hpp"
#include "mpi/train/run_checks.hpp"
#include "mpi/train/toy_run.hpp"
#include "train/hand_over.hpp"

namespace tessera::test {
namespace {

using checkpoint::Description;
using comm::Communicator;
using testing::HasSubstr;

std::set<std::string> tensors_of(const Description& description, const std::string& group) {
  std::set<std::string> names;
  for (const auto& tensor : description.tensors) {
    if (tensor.name.starts_with(group + "/")) names.insert(tensor.name.substr(group.size() + 1));
  }
  return names;
}

/// The parameters of the model that a checkpoint's configuration says its stage has.
std::set<std::string> configured(const Description& description) {
  const auto config = train::RunConfig::resolve(ConfigTree::parse(description.state.config, "checkpoint"));
  RunComponents components(registry(), config.stage_tree(config.stage_of(description.state)));
  std::set<std::string> names;
  for (const nn::NamedParameter& named : components.backbone().parameters()) names.insert(named.name);
  return names;
}

TEST(StageModels, EveryCheckpointHoldsTheModelOfItsStage) {
  const Communicator world = Communicator::world();
  const CommonFolder folder(world);
  make_data(world, folder / "data");
  EXPECT_EQ(run_tree(world, staged_configuration(folder / "data", "float32"), folder / "run", false, {},
                     {"run.keep_checkpoints=9"}),
            ExitCode::done);
  EXPECT_EQ(losses(folder / "run").size(), 30U);
  std::vector<Description> ends;
  for (const std::int64_t step : {8, 16, 23, 30}) {
    ends.push_back(checkpoint::describe(folder / ("run/checkpoints/" + checkpoint::file_name(step))));
    EXPECT_EQ(ends.back().state.stage, static_cast<std::int64_t>(ends.size()) - 1);
    EXPECT_EQ(tensors_of(ends.back(), "model"), configured(ends.back()));
  }
  const auto has = [&](std::size_t stage, const char* name) {
    return tensors_of(ends[stage], "model").contains(name);
  };
  EXPECT_TRUE(has(0, "y_embedder.embedding_table.weight"));
  EXPECT_FALSE(has(1, "y_embedder.embedding_table.weight"));
  EXPECT_TRUE(has(1, "t_block.1.weight"));
  EXPECT_FALSE(has(1, "ar_embedder.mlp.0.weight"));
  EXPECT_TRUE(has(2, "ar_embedder.mlp.0.weight"));
  EXPECT_EQ(tensors_of(ends[2], "model"), tensors_of(ends[3], "model"));
  // Optimizer and average begin anew with new weights only.
  EXPECT_EQ(ends[1].state.optimizer_updates, 8);
  EXPECT_EQ(ends[2].state.optimizer_updates, 7);
  EXPECT_EQ(ends[3].state.optimizer_updates, 14);
  EXPECT_FALSE(ends[1].has_group("average"));
  EXPECT_TRUE(ends[3].has_group("average"));
  EXPECT_EQ(ends[3].state.samples_seen, 8 * 7 + 8 * 7 + 7 * 5 + 7 * 5);

  world.barrier();
  const std::string log = io::read_file(folder / "run/log.txt");
  EXPECT_THAT(log, HasSubstr("Hand-over dit-reparameterise: "));
  EXPECT_THAT(log, HasSubstr("left behind: "));
  EXPECT_THAT(log, HasSubstr("y_embedder.embedding_table.weight"));
}

TEST(StageModels, EveryCheckpointCanBeSampled) {
  const Communicator world = Communicator::world();
  const CommonFolder folder(world);
  make_data(world, folder / "data");
  run_tree(world, staged_configuration(folder / "data", "float32"), folder / "run", false, {},
           {"run.keep_checkpoints=9"});
  for (const auto& [step, prompt] : {std::pair<std::int64_t, const char*>{8, "one"}, {16, "x"}, {30, "x"}}) {
    generate::Generator generator(registry(), folder / ("run/checkpoints/" + checkpoint::file_name(step)));
    generate::Request request = generator.default_request();
    EXPECT_EQ(request.guidance, step == 16 ? 3.0 : 5.0);
    EXPECT_EQ(request.prompts.size(), step == 16 ? 1U : 0U);
    request.prompts = {prompt};
    request.steps = 2;
    const auto pictures = generator.generate(request, world);
    if (world.rank() == 0) {
      EXPECT_EQ(pictures.at(0).image.width, step == 30 ? 32 : 16);
    }
  }
}

TEST(StageModels, EveryNumberOfRanksGivesTheSameCurve) {
  const Communicator world = Communicator::world();
  const CommonFolder folder(world);
  make_data(world, folder / "data");
  const ConfigTree tree = staged_configuration(folder / "data", "float64");
  if (world.rank() == 0) run_tree(world.alone(), tree, folder / "one");
  world.barrier();
  run_tree(world, tree, folder / "all");
  EXPECT_LT(difference(losses(folder / "all"), losses(folder / "one")), 1e-9);
}

TEST(StageModels, AnInterruptedHandOverEndsInTheSameBits) {
  const Communicator world = Communicator::world();
  const CommonFolder folder(world);
  make_data(world, folder / "data");
  const ConfigTree tree = staged_configuration(folder / "data", "float32");
  run_tree(world, tree, folder / "whole");
  // After a stage's last step, before it was saved; after the first step of the next, which nothing has
  // saved; and between.
  run_with_cuts(world, tree, folder / "cut", {8, 9, 12, 16, 17, 23, 24, 29}, 5);
  EXPECT_EQ(final_bits(folder / "cut"), final_bits(folder / "whole"));
  EXPECT_EQ(losses(folder / "cut"), losses(folder / "whole"));
}

TEST(StageModels, AnyNumberOfRanksGoesOnBeforeAHandOver) {
  const Communicator world = Communicator::world();
  const CommonFolder folder(world);
  make_data(world, folder / "data");
  const ConfigTree tree = staged_configuration(folder / "data", "float64");
  if (world.rank() == 0) {
    run_tree(world.alone(), tree, folder / "one");
    run_tree(world.alone(), tree, folder / "two", false, {}, {"run.keep_checkpoints=9"});
    for (const std::int64_t step : {16, 23, 30}) {  // leaves the end of the first stage
      std::filesystem::remove(folder / ("two/checkpoints/" + checkpoint::file_name(step)));
    }
  }
  world.barrier();
  EXPECT_EQ(run_tree(world, tree, folder / "two", true), ExitCode::done);
  EXPECT_LT(difference(losses(folder / "two"), losses(folder / "one")), 1e-9);
}

/// PixArt-alpha, section 2.3: at the chosen level the new model is the DiT without its class.
TEST(StageModels, ReparameterisedOutputIsTheDits) {
  const Communicator world = Communicator::world();
  ConfigTree tree = staged_configuration("none", "float64");
  const auto at_level = [&](double timestep, double level) {
    tree.set("stage.1.hand_over.timestep", FieldValue(timestep));
    ConfigTree classless = tree;
    classless.set("stage.0.model.auxiliary={name=\"none\"}");
    const auto config = train::RunConfig::resolve(classless);
    RunComponents dit(registry(), config.stage_tree(0)), pixart(dit, config.stage_tree(1));
    const nn::Precision precision = nn::Precision::named("float64");
    train::ModelState before(dit.backbone(), precision, config.optimizer, false, 5, world);
    train::ModelState after(pixart.backbone(), precision, config.optimizer, false, 5, world);
    before.write_values([&](int rank, int) {
      if (rank != 0) return;  // initial values would leave the output at zero
      for (const nn::ParameterSlot& slot : before.store().slots()) {
        nn::initialize(nn::Initializer::normal(0.2), 9, slot.name,
                       before.store().view(before.store().values(), slot));
      }
    });
    const train::EarlierModel earlier = train::earlier_model(dit, before);
    const train::PlannedHandOver plan(registry(), config.stages[1].hand_over, earlier.outline,
                                      train::outline_of(pixart), "stage 'captions'");
    plan.apply(earlier, after);

    const ops::NoGradScope no_grad;
    std::vector<float> normals(2 * 3 * 16 * 16), captions(2 * 4 * 8);
    const RandomStream stream(RandomKey{.seed = 2, .purpose = Purpose::test});
    fill_normal(stream, 0, 0, normals.data(), normals.size());
    fill_normal(stream, 1, 0, captions.data(), captions.size());
    const auto tensor = [](const std::vector<float>& values, const Shape& shape) {
      return Tensor::from_host(std::vector<double>(values.begin(), values.end()), shape);
    };
    Backbone::Input input;
    input.latent = ops::Variable(tensor(normals, {2, 3, 16, 16}));
    input.noise_level = Tensor::from_host(std::vector<double>{level, level}, {2});
    input.condition.captions = {ops::Variable(tensor(captions, {2, 4, 8})), {3, 4}};
    const auto one = dit.backbone().forward(input).value().to_host<double>();
    const auto other = pixart.backbone().forward(input).value().to_host<double>();
    double largest = 0, worst = 0;
    for (std::size_t i = 0; i < one.size(); ++i) {
      largest = std::max(largest, std::abs(one[i]));
      worst = std::max(worst, std::abs(one[i] - other[i]));
    }
    return worst / largest;
  };
  const double same = at_level(500, 500);
  EXPECT_LT(same, 1e-13);
  EXPECT_GT(at_level(500, 20), 1e-3);
  EXPECT_LT(at_level(20, 20), 1e-13);
  if (world.rank() == 0) std::printf("re-parameterised at t = 500: relative difference %.2e\n", same);
}

TEST(StageModels, WhatCannotBeHandedOverFailsBeforeTheFirstStep) {
  const Communicator world = Communicator::world();
  const CommonFolder folder(world);
  make_data(world, folder / "data");
  const auto failure = [&](const std::vector<std::string>& settings) -> std::string {
    try {
      run_tree(world, staged_configuration(folder / "data", "float32"), folder / "run", true, {}, settings);
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  };
  const std::string full = failure({"stage.1.hand_over=full"});
  EXPECT_THAT(full, HasSubstr("'full' does not lead to the model of stage 'captions'"));
  EXPECT_THAT(full, HasSubstr("key 'stage.1.hand_over'"));
  EXPECT_THAT(failure({"stage.2.hand_over=wieghts"}), HasSubstr("did you mean 'weights'"));
  EXPECT_THAT(failure({"stage.1.hand_over.timestpe=3"}), HasSubstr("timestep"));
  EXPECT_THAT(failure({"model.backbone.depth=2", "stage.1.model.backbone={depth=3}"}), HasSubstr("3"));
  EXPECT_THAT(failure({"stage.3.model.auxiliary.frequencies=16"}), HasSubstr("ar_embedder"));
  EXPECT_THAT(failure({"stage.2.model.auxilliary={name=\"none\"}"}), HasSubstr("Did you mean 'auxiliary'"));
  EXPECT_THAT(failure({"stage.3.sampler.stpes=3"}), HasSubstr("steps"));
  EXPECT_THAT(failure({"run.sample_prompts=[\"one\", \"tow\"]"}), HasSubstr("did you mean 'two'"));
  // Classes are those of the data.
  const std::string four = failure({"stage.0.model.auxiliary={name=\"class-label\", classes=4}"});
  EXPECT_THAT(four, HasSubstr("4 classes"));
  EXPECT_THAT(four, HasSubstr("shard-00000-of-00003.h5 has 3 subgroups"));
  EXPECT_THAT(four, HasSubstr("key 'model.auxiliary.classes'"));
  EXPECT_THAT(failure({"stage.0.model.auxiliary.names=[\"naught\", \"two\", \"one\"]"}),
              HasSubstr("names = [\"naught\", \"one\", \"two\"]"));
  EXPECT_THAT(failure({"data.label=group"}), HasSubstr("names = [\"low\", \"middle\", \"high\"]"));
  EXPECT_TRUE(losses(folder / "run").empty());
}

TEST(StageModels, TheClassIsTheLabelThatTheConfigurationNames) {
  const Communicator world = Communicator::world();
  const CommonFolder folder(world);
  make_data(world, folder / "data");
  const auto curve = [&](const std::string& name, const std::vector<std::string>& settings) {
    run_tree(world, staged_configuration(folder / "data", "float32"), folder / name, false, {}, settings);
    return losses(folder / name);
  };
  const std::string nameless = "stage.0.model.auxiliary={name=\"class-label\", classes=3}";
  const std::vector<double> subgroup = curve("subgroup", {nameless});
  const std::vector<double> group = curve("group", {nameless, "data.label=group"});
  EXPECT_EQ(group[0], subgroup[0]);  // the output is zero at first, whatever the class
  EXPECT_NE(group[7], subgroup[7]);
  EXPECT_EQ(curve("named", {}), subgroup);
  // A dropped caption is a dropped class.
  const std::string always = "data.caption_drop=1.0";
  EXPECT_EQ(curve("no_group", {nameless, always, "data.label=group"})[7], curve("none", {always})[7]);
}

}  // namespace
}  // namespace tessera::test
