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
  std::filesystem::path save(std::int64_t stage) {
    checkpoint::RunState state;
    state.config = model_.config.resolved(model_.components).to_toml();
    state.precision = "float32";
    state.stage = stage;
    state.stage_name = stage == 0 ? "first" : "second";
    state.average_active = true;
    const Tensor average = Tensor::zeros({model_.store.arena_elements()}, DType::f32);
    randomise(model_.store, 6);
    average.copy_from(model_.store.values());
    randomise(model_.store, 5);
    const std::filesystem::path file = folder_ / "step.h5";
    checkpoint::save(file, state, model_.store, {{"model", model_.store.values()}, {"average", average}},
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

TEST_F(GeneratorTest, a_damaged_file_is_an_error) {
  const auto file = save(0);
  std::filesystem::resize_file(file, std::filesystem::file_size(file) / 2);
  EXPECT_THROW(Generator(model_.registry, file), Error);
  EXPECT_THROW(Generator(model_.registry, folder_ / "none.h5"), Error);
}

}  // namespace
}  // namespace tessera::generate
