// Ranks share out pictures; together they draw what one draws alone.

#include "generate/generate.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "generate/generator.hpp"
#include "unit/generate/small_model.hpp"

namespace tessera::generate {
namespace {

TEST(GenerateOnRanks, ranks_draw_what_one_draws) {
  const auto world = comm::Communicator::world();
  SmallModel model;
  for (const std::size_t prompts : {std::size_t{5}, std::size_t{1}}) {  // also fewer pictures than ranks
    Request request = model.request();
    request.prompts.resize(prompts);
    request.batch = 2;
    request.sizes = {{8, 16, 0.5}, {8, 8, 1.0}, {16, 8, 2.0}};
    const auto together = generate(model.components.backbone(), model.components, request, world);
    if (world.rank() != 0) {
      EXPECT_TRUE(together.empty());
      continue;
    }
    const auto alone = generate(model.components.backbone(), model.components, request);
    ASSERT_EQ(together.size(), alone.size());
    for (std::size_t i = 0; i < alone.size(); ++i) {
      EXPECT_LE(difference(together[i].image, alone[i].image), 1);
      EXPECT_EQ(together[i].prompt, alone[i].prompt);
      EXPECT_EQ(together[i].prompt_index, alone[i].prompt_index);
      EXPECT_EQ(together[i].number, alone[i].number);
    }
  }
}

TEST(GenerateOnRanks, weights_in_common_memory_are_the_saved_ones) {
  const auto world = comm::Communicator::world();
  SmallModel model;
  const std::string name = world.gather("tessera_ranks_" + std::to_string(::getpid()) + ".h5")[0];
  const std::filesystem::path file = std::filesystem::temp_directory_path() / name;
  checkpoint::RunState state;
  state.config = model.resolved_configuration();
  state.precision = "float32";
  checkpoint::save(file, state, model.store, {{"model", model.store.values()}}, world);
  Request request = model.request();
  for (const char* precision : {"float32", "bfloat16"}) {
    Generator common(model.registry, file, checkpoint::Weights::trained, precision, world);
    const auto together = common.generate(request, world);
    Generator own(model.registry, file, checkpoint::Weights::trained, precision);
    const auto alone = own.generate(request);
    EXPECT_EQ(together.size(), world.rank() == 0 ? alone.size() : 0U);
    for (std::size_t i = 0; i < together.size(); ++i) {
      EXPECT_LE(difference(together[i].image, alone[i].image), precision[0] == 'f' ? 1 : 8);
    }
  }
  world.barrier();
  EXPECT_THROW(Generator(model.registry, file.string() + ".none", checkpoint::Weights::trained, {}, world),
               Error);
  if (world.rank() == 0) std::filesystem::remove(file);
}

}  // namespace
}  // namespace tessera::generate
