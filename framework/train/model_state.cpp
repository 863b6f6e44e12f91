#include "train/model_state.hpp"

#include <algorithm>

#include "compute/parallel.hpp"

namespace tessera::train {
namespace {

template <class T>
void swap_elements_of(T* left, T* right, std::int64_t count) {
  parallel_elements(
      count, KOKKOS_LAMBDA(std::size_t i) {
        const T value = left[i];
        left[i] = right[i];
        right[i] = value;
      });
}

void swap_elements(const Tensor& a, const Tensor& b) {
  dispatch_floating(a.dtype(), [&]<class T>(T) { swap_elements_of(a.data<T>(), b.data<T>(), a.numel()); });
}

}  // namespace

ModelState::ModelState(nn::Module& model, const nn::Precision& precision, const AdamWSettings& settings,
                       bool average, std::uint64_t seed, const comm::Communicator& world)
    : world_(world),
      shared_(world.size() > 1 && comm::SharedArena::supported(world)),
      common_gradients_(GradientRoute::once_per_node(world)),
      sharers_(shared_ ? world.node() : world.alone()),
      store_(model) {
  if (store_.trainable_elements() == 0) {
    throw Error("every parameter of this model is frozen: there is nothing to train", "training",
                "Leave some part of the model trainable, or add an adapter that is.");
  }
  const nn::ArenaMaker maker = arena_maker();
  store_.materialise(precision, maker, flow());
  if (sharers_.rank() == 0) store_.initialize(seed);
  sharers_.barrier();
  // The optimizer copies the values to the average: the same bits from every rank that shares it.
  optimizer_ = std::make_unique<AdamW>(store_, settings, average, maker);
  sharers_.barrier();
  route_ = GradientRoute::make(world_, store_, gradients_.value(), shared_);
}

ModelState::ModelState(nn::Module& model, const ModelState& before, const AdamWSettings& settings,
                       bool average)
    : world_(before.world_),
      shared_(before.shared_),
      common_gradients_(before.common_gradients_),
      sharers_(before.sharers_),
      average_active_(average && before.average_active_),
      store_(model),
      gradients_(before.gradients_) {
  const nn::ParameterStore& old = before.store_;
  if (store_.arena_elements() != old.arena_elements() ||
      store_.trainable_elements() != old.trainable_elements()) {
    throw Error("a model of " + std::to_string(store_.arena_elements()) +
                " elements cannot go on with the arenas of one of " + std::to_string(old.arena_elements()));
  }
  store_.materialise(
      old.precision(),
      [&](const std::string& role, std::int64_t, DType) {
        return role == "values" ? old.values() : role == "gradients" ? old.gradients() : old.compute_copy();
      },
      flow());
  AdamWState state = before.optimizer_->state();
  if (!average) state.average = {};
  if (average && !state.average.defined()) {
    state.average = arena_maker()("average", store_.trainable_elements(), store_.precision().parameter);
  }
  optimizer_ = std::make_unique<AdamW>(store_, settings, std::move(state));
  route_ = GradientRoute::make(world_, store_, gradients_.value(), shared_);
}

nn::GradientFlow ModelState::flow() const {
  return common_gradients_ ? nn::GradientFlow::handed_over : nn::GradientFlow::into_arena;
}

nn::ArenaMaker ModelState::arena_maker() {
  return [this](const std::string& role, std::int64_t elements, DType type) {
    const bool shared = role == "gradients" ? common_gradients_ : shared_;
    const comm::SharedArena arena(world_, static_cast<std::size_t>(elements) * size_of(type),
                                  shared ? comm::Placement::shared : comm::Placement::private_memory);
    if (role == "gradients") gradients_ = arena;
    return Tensor::wrap(arena.data(), {elements}, type, arena.owner());
  };
}

void ModelState::start_average() {
  const auto begin = static_cast<std::int64_t>(slice().begin);
  const auto end = static_cast<std::int64_t>(slice().end);
  optimizer_->average().slice(begin, end).copy_from(store_.values().slice(begin, end));
  average_active_ = true;
}

void ModelState::swap_average() {
  if (!average_active_) return;
  sharers_.barrier();
  const auto begin = static_cast<std::int64_t>(slice().begin);
  const auto end = static_cast<std::int64_t>(slice().end);
  swap_elements(store_.values().slice(begin, end), optimizer_->average().slice(begin, end));
  store_.refresh_compute_copy(begin, end);
  sharers_.barrier();
}

void ModelState::renew_copies() {
  if (sharers_.rank() == 0) store_.refresh_compute_copy();
  sharers_.barrier();
}

void ModelState::write_values(const std::function<void(int, int)>& write) {
  sharers_.together([&] { write(sharers_.rank(), sharers_.size()); });
  sharers_.barrier();
  renew_copies();
}

std::vector<checkpoint::NamedArena> ModelState::arenas() const {
  std::vector<checkpoint::NamedArena> arenas{{"model", store_.values()},
                                             {"first_moment", optimizer_->first_moment()},
                                             {"second_moment", optimizer_->second_moment()}};
  if (average_active_) arenas.push_back({"average", optimizer_->average()});
  return arenas;
}

void ModelState::load(const checkpoint::Description& description, const std::filesystem::path& file) {
  average_active_ = description.state.average_active && optimizer_->average().defined();
  checkpoint::load(description, file, store_, arenas(), sharers_);
  optimizer_->set_updates(description.state.optimizer_updates);
  renew_copies();
}

}  // namespace tessera::train
