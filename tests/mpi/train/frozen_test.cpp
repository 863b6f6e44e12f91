// Frozen parameters go through training, checkpoints and sampling unchanged, and the others do not notice.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <map>

#include "base/hash.hpp"
#include "checkpoint/checkpoint.hpp"
#include "data/loader.hpp"
#include "mpi/train/common_folder.hpp"
#include "mpi/train/toy_run.hpp"
#include "train/gradient_step.hpp"
#include "train/model_state.hpp"

namespace tessera::test {
namespace {

using comm::Communicator;

/// Parts at both ends of the model, whose slots training meets first, last and in between.
bool to_be_frozen(const std::string& name) {
  return name.starts_with("final_layer.") || name.starts_with("blocks.0.") || name.starts_with("x_embedder.");
}

/// The toy model of toy_run.hpp with the steps of its first stage.
class Training {
 public:
  Training(const Communicator& world, const std::string& data, bool freeze_some, std::uint64_t seed = 5)
      : world_(world),
        config_(train::RunConfig::resolve(toy_configuration(data, "float32"))),
        components_(registry(), config_.stage_tree(0)),
        dataset_(std::make_shared<const data::Dataset>(config_.data.path, expectation())) {
    for (const nn::NamedParameter& named : components_.backbone().parameters()) {
      if (freeze_some && to_be_frozen(named.name)) named.parameter->set_trainable(false);
    }
    model_ = std::make_unique<train::ModelState>(components_.backbone(), nn::Precision::named("float32"),
                                                 config_.optimizer, true, seed, world);
    randomise(seed);
  }

  [[nodiscard]] train::ModelState& model() { return *model_; }
  [[nodiscard]] nn::ParameterStore& store() { return model_->store(); }

  /// @return the norm of the last step's gradient.
  double steps(std::uint64_t first, std::uint64_t last, const std::function<void()>& watch = {}) {
    const train::StageSettings& stage = config_.stages.front();
    data::Loader loader(dataset_, {.resolution = stage.resolution,
                                   .global_batch = static_cast<std::uint64_t>(stage.batch),
                                   .micro_batch = static_cast<std::uint64_t>(stage.micro_batch),
                                   .rank = static_cast<std::uint64_t>(world_.rank()),
                                   .ranks = static_cast<std::uint64_t>(world_.size()),
                                   .first_step = first,
                                   .first_draw = first * static_cast<std::uint64_t>(stage.batch)});
    train::GradientStep gradient(components_, *model_, stage, loader);
    double norm = 0;
    for (std::uint64_t step = first; step < last; ++step) {
      (void)gradient.run({.seed = 7, .step = step});
      model_->reducer().finish();
      if (watch) watch();
      norm = std::sqrt(model_->reducer().sum_of_squares());
      if (step == 0) model_->start_average();
      const comm::Slice mine = model_->reducer().my_slice();
      model_->optimizer().update({.learning_rate = 1e-2, .average_smoothing = 0.5},
                                 static_cast<std::int64_t>(mine.begin), static_cast<std::int64_t>(mine.end));
      model_->reducer().publish();
    }
    return norm;
  }

  /// The summed gradient of the first step, by name.
  [[nodiscard]] std::map<std::string, std::vector<float>> gradients() {
    std::vector<float> all(static_cast<std::size_t>(store().trainable_elements()), 0.0F);
    (void)steps(0, 1, [&] {
      const comm::Slice mine = model_->reducer().my_slice();
      std::copy_n(store().gradients().data<float>() + mine.begin, mine.size(), all.data() + mine.begin);
    });
    world_.all_reduce(std::span(all));  // every element comes from one rank
    std::map<std::string, std::vector<float>> result;
    for (const nn::ParameterSlot& slot : store().trainable_slots()) {
      const auto from = all.begin() + slot.offset;
      result[slot.name] = {from, from + slot.count};
    }
    return result;
  }

  void save(const std::string& file) {
    checkpoint::RunState state;
    state.precision = "float32";
    state.optimizer_updates = model_->optimizer().updates();
    state.average_active = model_->average_active();
    checkpoint::save(file, state, store(), model_->arenas(), world_);
    world_.barrier();
  }

  /// The bytes of every parameter, by name.
  [[nodiscard]] std::map<std::string, std::string> values(bool frozen) {
    std::map<std::string, std::string> result;
    for (const nn::ParameterSlot& slot : store().slots()) {
      if (slot.trainable == frozen) continue;
      const Tensor value = store().view(store().values(), slot);
      result[slot.name] = {static_cast<const char*>(value.raw()), value.bytes()};
    }
    return result;
  }

 private:
  /// The initial values give a prediction of zero, and most parameters no gradient; these do not.
  void randomise(std::uint64_t seed) {
    for (const nn::ParameterSlot& slot : store().slots()) {
      std::vector<float> values(static_cast<std::size_t>(slot.count));
      const RandomStream stream(RandomKey{.seed = seed, .purpose = Purpose::test});
      fill_normal(stream, hash_text(slot.name), 0, values.data(), values.size());
      for (float& value : values) value *= 0.15F;
      // Ranks that share the memory write the same.
      store().view(store().values(), slot).copy_from_host(values.data());
    }
    world_.barrier();
  }
  [[nodiscard]] data::DatasetExpectation expectation() const {
    data::DatasetExpectation expected;
    expected.codec = components_.codec().identity();
    expected.text_encoder = components_.text_encoder().identity();
    expected.channels = static_cast<std::uint32_t>(components_.codec().channels());
    expected.caption_length = static_cast<std::uint32_t>(components_.text_encoder().length());
    expected.caption_width = static_cast<std::uint32_t>(components_.text_encoder().width());
    return expected;
  }

  Communicator world_;
  train::RunConfig config_;
  RunComponents components_;
  std::shared_ptr<const data::Dataset> dataset_;
  std::unique_ptr<train::ModelState> model_;
};

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
