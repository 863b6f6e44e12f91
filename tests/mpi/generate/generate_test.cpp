// Ranks share out pictures; together they draw what one draws alone.

#include "generate/generate.hpp"

#include <gtest/gtest.h>

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

}  // namespace
}  // namespace tessera::generate
