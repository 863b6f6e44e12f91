#pragma once
// Invariant: the steps of a toy run one by one, without the loop around them, so that a test can look at the
// state of the model between and during them.

#include <cmath>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/hash.hpp"
#include "checkpoint/checkpoint.hpp"
#include "data/loader.hpp"
#include "mpi/train/toy_run.hpp"
#include "train/gradient_step.hpp"
#include "train/model_state.hpp"

namespace tessera::test {

/// Parts at both ends of the model, whose slots training meets first, last and in between.
inline bool to_be_frozen(const std::string& name) {
  return name.starts_with("final_layer.") || name.starts_with("blocks.0.") || name.starts_with("x_embedder.");
}

/// The toy model of toy_run.hpp with the steps of its first stage.
class Training {
 public:
  Training(const comm::Communicator& world, const std::string& data, bool freeze_some, std::uint64_t seed = 5,
           const std::string& precision = "float32", const train::ShardSettings& shard = {})
      : world_(world),
        config_(train::RunConfig::resolve(toy_configuration(data, precision))),
        components_(registry(), config_.stage_tree(0)),
        dataset_(std::make_shared<const data::Dataset>(config_.data.path, expectation())) {
    for (const nn::NamedParameter& named : components_.backbone().parameters()) {
      if (freeze_some && to_be_frozen(named.name)) named.parameter->set_trainable(false);
    }
    model_ = std::make_unique<train::ModelState>(components_.backbone(), nn::Precision::named(precision),
                                                 config_.optimizer, true, seed, world, shard);
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
      model_->sums().finish();
      if (watch) watch();
      norm = std::sqrt(model_->sums().sum_of_squares());
      if (step == 0) model_->start_average();
      model_->update({.learning_rate = 1e-2, .average_smoothing = 0.5});
      model_->sums().publish();
    }
    return norm;
  }

  /// The summed gradient of the first step, by name.
  [[nodiscard]] std::map<std::string, std::vector<float>> gradients() {
    std::vector<float> all(static_cast<std::size_t>(store().trainable_elements()), 0.0F);
    (void)steps(0, 1, [&] {
      for (const comm::Slice mine : model_->sums().my_parts()) {
        std::copy_n(store().gradients().data<float>() + mine.begin, mine.size(), all.data() + mine.begin);
      }
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
    state.precision = config_.run.precision;
    state.optimizer_updates = model_->optimizer().updates();
    state.average_active = model_->average_active();
    checkpoint::save(file, state, store(), model_->arenas(), world_);
    world_.barrier();
  }

  /// The bytes of every parameter, by name. Collective.
  [[nodiscard]] std::map<std::string, std::string> values(bool frozen) {
    std::map<std::string, std::string> result;
    const Tensor whole = model_->whole_values();
    for (const nn::ParameterSlot& slot : store().slots()) {
      if (slot.trainable == frozen) continue;
      const Tensor value = store().view(whole, slot);
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
      store().write(slot, [&](const Tensor& value) { value.copy_from_host(values.data()); });
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

  comm::Communicator world_;
  train::RunConfig config_;
  RunComponents components_;
  std::shared_ptr<const data::Dataset> dataset_;
  std::unique_ptr<train::ModelState> model_;
};

}  // namespace tessera::test
