// Ranks share out pictures; together they draw what one draws alone.

#include "generate/generate.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "generate/generator.hpp"
#include "mpi/train/common_folder.hpp"
#include "train/adapter_file.hpp"
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

/// A model with branches that act, and the same without them; the files are the adapted one, the base and the
/// adapter.
struct AdaptedFiles {
  AdaptedFiles() {
    world.together([&] {
      if (world.rank() != 0) return;
      for (const nn::ParameterSlot& slot : base.store.slots()) {
        base.store.view(base.store.values(), slot)
            .copy_from(adapted.store.view(adapted.store.values(), adapted.store.slot(slot.name)));
      }
      save(base, folder / "base.h5");
      save(adapted, folder / "adapted.h5");
      train::export_adapter(base.registry, folder / "adapted.h5", checkpoint::Weights::trained,
                            folder / "adapter.h5", world.alone());
      train::merge_adapter(base.registry, folder / "base.h5", checkpoint::Weights::trained,
                           folder / "adapter.h5", folder / "merged.h5", world.alone());
    });
    world.barrier();
  }
  void save(SmallModel& model, const std::string& file) const {
    checkpoint::RunState state;
    state.config = model.resolved_configuration();
    state.precision = "float32";
    checkpoint::save(file, state, model.store, {{"model", model.store.values()}}, world.alone());
  }
  /// On rank 0.
  [[nodiscard]] std::vector<Picture> draw(const std::string& file, const std::string& adapter = {}) const {
    Generator generator(base.registry, folder / file, checkpoint::Weights::trained, {}, world,
                        adapter.empty() ? adapter : folder / adapter);
    return generator.generate(base.request(), world);
  }

  comm::Communicator world = comm::Communicator::world();
  test::CommonFolder folder{world};
  SmallModel base;
  SmallModel adapted{
      {"model.adapter={name=\"lora\",rank=3,alpha=12.0,targets=[\"attn.*\",\"final_layer.linear\"]}"}};
};

TEST(GenerateOnRanks, an_adapter_draws_like_the_model_that_was_trained_with_it) {
  const AdaptedFiles files;
  const auto with_adapter = files.draw("base.h5", "adapter.h5");
  const auto run = files.draw("adapted.h5");
  const auto merged = files.draw("merged.h5");
  const auto without = files.draw("base.h5");
  if (files.world.rank() != 0) return;
  const auto unmerged =
      generate(files.adapted.components.backbone(), files.adapted.components, files.base.request());
  ASSERT_EQ(with_adapter.size(), unmerged.size());
  int effect = 0;
  for (std::size_t i = 0; i < unmerged.size(); ++i) {
    EXPECT_LE(difference(with_adapter[i].image, unmerged[i].image), 1);
    EXPECT_LE(difference(run[i].image, unmerged[i].image), 1);
    EXPECT_LE(difference(merged[i].image, unmerged[i].image), 1);
    effect = std::max(effect, difference(without[i].image, unmerged[i].image));
  }
  EXPECT_GT(effect, 10);
}

TEST(GenerateOnRanks, an_adapter_of_another_model_is_refused) {
  const AdaptedFiles files;
  EXPECT_THROW((void)files.draw("base.h5", "base.h5"), Error);
  EXPECT_THROW((void)files.draw("adapter.h5"), Error);
  EXPECT_THROW((void)files.draw("adapted.h5", "adapter.h5"), Error);  // it has one already
  files.world.barrier();
  if (files.world.rank() == 0)
    files.save(*std::make_unique<SmallModel>(std::vector<std::string>{"model.backbone.depth=1"}),
               files.folder / "shallow.h5");
  files.world.barrier();
  EXPECT_THROW((void)files.draw("shallow.h5", "adapter.h5"), Error);
}

}  // namespace
}  // namespace tessera::generate
