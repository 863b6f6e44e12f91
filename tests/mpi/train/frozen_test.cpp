// Frozen parameters go through training, checkpoints and sampling unchanged, and the others do not notice.
#include <gtest/gtest.h>

#include <map>

#include "mpi/train/common_folder.hpp"
#include "mpi/train/toy_training.hpp"

namespace tessera::test {
namespace {

using comm::Communicator;

class Frozen : public testing::Test {
 protected:
  Frozen() {
    if (world_.rank() == 0) make_toy_data(data_);
    world_.barrier();
  }
  Communicator world_ = Communicator::world();
  CommonFolder folder_{world_};
  std::string data_ = folder_ / "data";
};

TEST_F(Frozen, HasNoGradientMomentsOrAverage) {
  Training training(world_, data_, true);
  const nn::ParameterStore& store = training.store();
  EXPECT_LT(store.trainable_elements(), store.arena_elements());
  EXPECT_EQ(store.gradients().numel(), store.trainable_elements());
  const train::AdamW& optimizer = training.model().optimizer();
  for (const Tensor* arena : {&optimizer.first_moment(), &optimizer.second_moment(), &optimizer.average()}) {
    EXPECT_EQ(arena->numel(), store.trainable_elements());
  }
}

TEST_F(Frozen, StaysTheSameBitsWhileTheOthersTrain) {
  Training training(world_, data_, true);
  const auto frozen = training.values(true);
  const auto before = training.values(false);
  ASSERT_GT(frozen.size(), 5U);
  ASSERT_GT(before.size(), 20U);
  EXPECT_GT(training.steps(0, 3), 0);
  EXPECT_EQ(training.values(true), frozen);
  const auto after = training.values(false);
  for (const auto& [name, bytes] : before) EXPECT_NE(after.at(name), bytes) << name;
  training.model().swap_average();
  EXPECT_EQ(training.values(true), frozen);
  EXPECT_NE(training.values(false), after);
  training.model().swap_average();
  EXPECT_EQ(training.values(false), after);
}

TEST_F(Frozen, ASavedRunGoesOnInTheSameBits) {
  Training whole(world_, data_, true);
  whole.steps(0, 2);
  whole.save(folder_ / "two.h5");
  whole.steps(2, 4);

  Training resumed(world_, data_, true, 99);
  EXPECT_NE(resumed.values(true), whole.values(true));
  resumed.model().load(checkpoint::verify(folder_ / "two.h5"), folder_ / "two.h5");
  EXPECT_EQ(resumed.values(true), whole.values(true));
  resumed.steps(2, 4);
  EXPECT_EQ(resumed.values(true), whole.values(true));
  EXPECT_EQ(resumed.values(false), whole.values(false));
}

TEST_F(Frozen, TheFileHasTheValueAndNothingElse) {
  Training training(world_, data_, true);
  training.steps(0, 2);
  training.save(folder_ / "two.h5");
  const checkpoint::Description found = checkpoint::verify(folder_ / "two.h5");
  std::map<std::string, int> groups;
  for (const checkpoint::TensorEntry& entry : found.tensors) {
    const std::size_t slash = entry.name.find('/');
    ++groups[entry.name.substr(0, slash)];
    if (to_be_frozen(entry.name.substr(slash + 1))) {
      EXPECT_EQ(entry.name.substr(0, slash), "model") << entry.name;
    }
  }
  const auto all = static_cast<int>(training.store().slots().size());
  const auto trained = static_cast<int>(training.store().trainable_slots().size());
  EXPECT_EQ(
      groups,
      (std::map<std::string, int>{
          {"model", all}, {"first_moment", trained}, {"second_moment", trained}, {"average", trained}}));
}

TEST_F(Frozen, ComesFromTheModelWhereTheOthersComeFromTheAverage) {
  Training training(world_, data_, true);
  training.steps(0, 2);
  training.save(folder_ / "two.h5");
  const auto frozen = training.values(true);
  training.model().swap_average();
  const auto average = training.values(false);

  // A sampler reads the file by itself; to it every parameter is one of the model, whether frozen there or
  // not.
  Training sampler(world_.alone(), data_, true, 99);
  (void)checkpoint::load_weights(folder_ / "two.h5", sampler.store(), checkpoint::Weights::average);
  EXPECT_EQ(sampler.values(true), frozen);
  EXPECT_EQ(sampler.values(false), average);
  // Model and average of a parameter that was trained cannot be found for one that was not.
  Training all_trained(world_.alone(), data_, false, 99);
  EXPECT_THROW(
      (void)checkpoint::load_weights(folder_ / "two.h5", all_trained.store(), checkpoint::Weights::average),
      Error);
  EXPECT_NO_THROW(
      (void)checkpoint::load_weights(folder_ / "two.h5", all_trained.store(), checkpoint::Weights::trained));
}

TEST_F(Frozen, LeavesTheGradientsOfTheOthersAsTheyAre) {
  // Across nodes the order of a sum follows the place in the message.
  const Communicator ranks = world_.on_one_node() ? world_ : world_.alone();
  Training all(ranks, data_, false);
  Training some(ranks, data_, true);
  const auto expected = all.gradients();
  const auto found = some.gradients();
  EXPECT_EQ(found.size(), some.store().trainable_slots().size());
  for (const auto& [name, values] : found) EXPECT_EQ(values, expected.at(name)) << name;
}

TEST_F(Frozen, AModelWithoutAnythingToTrainIsAnError) {
  RunComponents components(registry(), toy_configuration(data_, "float32"));
  nn::freeze(components.backbone());
  EXPECT_THROW(
      train::ModelState(components.backbone(), nn::Precision::named("float32"), {}, false, 1, world_), Error);
}

}  // namespace
}  // namespace tessera::test
