#pragma once
// Invariant: a model of three parameters, small enough to look at every byte of its checkpoint.

#include <cstdint>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.hpp"
#include "nn/layers.hpp"
#include "nn/parameter_store.hpp"

namespace tessera::test {

class TinyModel : public nn::Module {
 public:
  explicit TinyModel(std::int64_t width)
      : first_(5, width, true, nn::Initializer::normal(1)),
        second_(width, 1, false, nn::Initializer::normal(1)) {
    add_child("blocks.0", first_);
    add_child("head", second_);
  }

 private:
  nn::Linear first_;
  nn::Linear second_;
};

/// A model with memory of its own, values from a seed, and one more arena.
struct Toy {
  explicit Toy(std::uint64_t seed, const char* precision = "float32", std::int64_t width = 37)
      : model(width), store(model) {
    store.materialise(nn::Precision::named(precision));
    store.initialize(seed);
    moments = Tensor::zeros({store.arena_elements()}, store.precision().parameter);
    moments.copy_from(store.values());
  }
  [[nodiscard]] std::vector<checkpoint::NamedArena> arenas() const {
    return {{"model", store.values()}, {"first_moment", moments}};
  }
  [[nodiscard]] std::string bytes() const {
    return {static_cast<const char*>(store.values().raw()), store.values().bytes()};
  }
  TinyModel model;
  nn::ParameterStore store;
  Tensor moments;
};

inline checkpoint::RunState sample_state() {
  checkpoint::RunState state;
  state.config = "[run]\nseed = 3\n" + std::string(100'000, '#');  // more than an attribute holds
  state.plugins = {"dit 1.0", "edm 2.1"};
  state.precision = "float32";
  state.stage = 1;
  state.stage_name = "zweite Stufe ❤";
  state.stage_step = 12;
  state.global_step = 112;
  state.samples_seen = std::int64_t{1} << 40;
  state.optimizer_updates = 111;
  state.average_active = true;
  state.loss_sum = 0.1;
  state.loss_steps = 2;
  return state;
}

}  // namespace tessera::test
