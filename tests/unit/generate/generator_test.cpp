// A checkpoint is all that sampling needs.

#include "generate/generator.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <optional>

#include "comm/environment.hpp"
#include "unit/generate/small_model.hpp"

namespace tessera::generate {
namespace {

class GeneratorTest : public testing::Test {
 protected:
  // Saving is collective, so it needs MPI, a job of one rank here.
  static void SetUpTestSuite() { mpi().emplace(); }
  static void TearDownTestSuite() { mpi().reset(); }
  static std::optional<comm::Environment>& mpi() {
    static std::optional<comm::Environment> environment;
    return environment;
  }
  GeneratorTest() { std::filesystem::create_directories(folder_); }
  ~GeneratorTest() override { std::filesystem::remove_all(folder_); }

  /// A checkpoint of stage `stage` whose average holds other weights than its model.
  std::filesystem::path save(std::int64_t stage) { return save(stage, model_); }
  std::filesystem::path save(std::int64_t stage, SmallModel& model) {
    checkpoint::RunState state;
    state.config = model.resolved_configuration();
    state.precision = "float32";
    state.stage = stage;
    state.stage_name = stage == 0 ? "first" : "second";
    state.average_active = true;
    const Tensor average = Tensor::zeros({model.store.arena_elements()}, DType::f32);
    randomise(model.store, 6);
    average.copy_from(model.store.values());
    randomise(model.store, 5);
    const std::filesystem::path file = folder_ / "step.h5";
    checkpoint::save(file, state, model.store, {{"model", model.store.values()}, {"average", average}},
                     comm::Communicator::world());
    return file;
  }

  std::filesystem::path folder_ =
      std::filesystem::temp_directory_path() / ("tessera_generator_" + std::to_string(::getpid()));
  SmallModel model_;
};

TEST_F(GeneratorTest, draws_what_the_saved_model_draws) {
  const auto file = save(0);
  const Request request = model_.request();
  const auto expected = generate(model_.components.backbone(), model_.components, request);
  Generator trained(model_.registry, file, checkpoint::Weights::trained);
  const auto pictures = trained.generate(request);
  ASSERT_EQ(pictures.size(), expected.size());
  for (std::size_t i = 0; i < pictures.size(); ++i) {
    EXPECT_EQ(pictures[i].image, expected[i].image);
  }
  const auto shared_out = trained.generate(request, comm::Communicator::world());
  ASSERT_EQ(shared_out.size(), expected.size());
  EXPECT_EQ(shared_out[9].image, expected[9].image);
  EXPECT_EQ(shared_out[9].prompt, expected[9].prompt);

  Generator preferred(model_.registry, file);
  EXPECT_GT(difference(preferred.generate(request)[0].image, expected[0].image), 10);
  randomise(model_.store, 6);
  EXPECT_EQ(preferred.generate(request)[0].image,
            generate(model_.components.backbone(), model_.components, request)[0].image);
}

TEST_F(GeneratorTest, defaults_come_from_the_run_and_the_stage) {
  const Generator first(model_.registry, save(0));
  EXPECT_EQ(first.default_request().resolution, 8);
  const Generator second(model_.registry, save(1));
  const Request request = second.default_request();
  EXPECT_EQ(request.resolution, 16);
  EXPECT_EQ(request.seed, 11U);
  EXPECT_EQ(request.steps, 3);
  EXPECT_DOUBLE_EQ(request.guidance, 2.5);
  EXPECT_EQ(request.prompts, (std::vector<std::string>{"red heart", "a blue circle"}));
}

TEST_F(GeneratorTest, positions_follow_the_stage_and_the_size) {
  Generator second(model_.registry, save(1), checkpoint::Weights::trained);
  Request request = model_.request();
  request.resolution = 16;
  model_.components.backbone().set_positions({.scale = 2.0});
  EXPECT_EQ(second.generate(request)[0].image,
            generate(model_.components.backbone(), model_.components, request)[0].image);
  request.resolution = 8;  // half the stage's side: the same range with half the points
  model_.components.backbone().set_positions({.scale = 1.0});
  EXPECT_EQ(second.generate(request)[0].image,
            generate(model_.components.backbone(), model_.components, request)[0].image);
}

/// The pictures of two models of the same weights.
void expect_same(const std::vector<Picture>& a, const std::vector<Picture>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i) EXPECT_EQ(a[i].image, b[i].image) << i;
}

ConfigTree named(const std::string& sampler) {
  return ConfigTree::parse("name = \"" + sampler + "\"", "test");
}

TEST_F(GeneratorTest, another_sampler_draws_as_if_the_run_had_named_it) {
  const auto file = save(0);
  const Request request = model_.request();
  const auto own = generate(model_.components.backbone(), model_.components, request);
  for (const std::string name : {"dpm-solver++", "sa-solver", "iddpm", "ddim"}) {
    Generator trained(model_.registry, file, checkpoint::Weights::trained);
    // What the run says of edm-heun, rho for one, would be an unknown setting.
    trained.set_sampler(named(name));
    SmallModel other({"sampler.name=" + name});
    const auto pictures = trained.generate(request);
    expect_same(pictures, generate(other.components.backbone(), other.components, request));
    EXPECT_GT(difference(pictures[0].image, own[0].image), 2) << name;
    EXPECT_EQ(trained.default_request().steps, 0) << name;
  }
}

TEST_F(GeneratorTest, a_model_of_the_other_objective_can_be_sampled_with_every_sampler) {
  const std::vector<std::string> objective{"objective.name=iddpm", "model.backbone.learned_variance=true"};
  const auto with_sampler = [&](const std::string& name) {
    std::vector<std::string> settings = objective;
    settings.push_back("sampler.name=" + name);
    return settings;
  };
  SmallModel trained_model(with_sampler("ddim"));
  const auto file = save(0, trained_model);
  for (const std::string name : {"dpm-solver++", "sa-solver", "iddpm", "ddim", "edm-heun"}) {
    Generator trained(model_.registry, file, checkpoint::Weights::trained);
    trained.set_sampler(named(name));
    SmallModel other(with_sampler(name));
    expect_same(trained.generate(other.request()),
                generate(other.components.backbone(), other.components, other.request()));
  }
}

TEST_F(GeneratorTest, settings_of_the_sampler_can_be_changed) {
  const auto file = save(0);
  const auto draw = [&](const std::string& settings) {
    Generator trained(model_.registry, file, checkpoint::Weights::trained);
    trained.set_sampler(ConfigTree::parse(settings, "test"));
    Request request = model_.request();
    request.steps = trained.default_request().steps;
    return trained.generate(request)[0].image;
  };
  const io::Image own = draw("");
  EXPECT_EQ(draw("name = \"edm-heun\""), own);
  EXPECT_GT(difference(draw("rho = 1.0"), own), 2) << "a setting of the run's own sampler";
  EXPECT_GT(difference(draw("name = \"ddim\"\nsteps = 5"), draw("name = \"ddim\"\nsteps = 5\neta = 1.0")), 2);
  EXPECT_THROW((void)draw("name = \"dimm\""), Error);
  EXPECT_THROW((void)draw("eta = 0.5"), Error);  // edm-heun has none
  EXPECT_THROW((void)draw("name = \"ddim\"\nrho = 7.0"), Error);
  EXPECT_THROW((void)draw("name = \"ddim\"\neta = 2.0"), Error);
}

TEST_F(GeneratorTest, wide_pictures_span_the_range_of_the_stage) {
  Generator second(model_.registry, save(1), checkpoint::Weights::trained);
  Request request = model_.request();
  request.resolution = 16;
  request.sizes = second.sizes_of({0.5}, 16);
  const PictureSize wide = request.sizes.at(0);
  EXPECT_LT(wide.height, wide.width);
  model_.components.backbone().set_positions({.scale = 2.0, .base = 8});
  EXPECT_EQ(second.generate(request)[0].image,
            generate(model_.components.backbone(), model_.components, request)[0].image);
}

TEST_F(GeneratorTest, a_damaged_file_is_an_error) {
  const auto file = save(0);
  std::filesystem::resize_file(file, std::filesystem::file_size(file) / 2);
  EXPECT_THROW(Generator(model_.registry, file), Error);
  EXPECT_THROW(Generator(model_.registry, folder_ / "none.h5"), Error);
}

}  // namespace
}  // namespace tessera::generate
