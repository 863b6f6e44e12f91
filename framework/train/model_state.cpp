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
      sharers_(shared_ ? world.node() : world.alone()),
      store_(model) {
  if (store_.trainable_elements() == 0) {
    throw Error("every parameter of this model is frozen: there is nothing to train", "training",
                "Leave some part of the model trainable, or add an adapter that is.");
  }
  const nn::ArenaMaker maker = arena_maker();
  store_.materialise(precision, maker);
  if (sharers_.rank() == 0) store_.initialize(seed);
  sharers_.barrier();
  // The optimizer copies the values to the average: the same bits from every rank that shares it.
  optimizer_ = std::make_unique<AdamW>(store_, settings, average, maker);
  sharers_.barrier();
  reducer_ = comm::make_gradient_reducer(world_, *gradients_, precision.parameter,
                                         static_cast<std::size_t>(store_.trainable_elements()),
                                         {.shared_parameters = shared_});
  reduces_during_backward_ = world_.size() > 1 && gradients_->placement() == comm::Placement::private_memory;
}

nn::ArenaMaker ModelState::arena_maker() {
  return [this](const std::string& role, std::int64_t elements, DType type) {
    comm::Placement placement = shared_ ? comm::Placement::shared : comm::Placement::private_memory;
    if (role == "gradients") placement = comm::gradient_placement(world_);
    const comm::SharedArena arena(world_, static_cast<std::size_t>(elements) * size_of(type), placement);
    if (role == "gradients") gradients_ = std::make_unique<comm::SharedArena>(arena);
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

void ModelState::reset_optimizer() {
  const auto begin = static_cast<std::int64_t>(slice().begin);
  const auto end = static_cast<std::int64_t>(slice().end);
  optimizer_->first_moment().slice(begin, end).fill_zero();
  optimizer_->second_moment().slice(begin, end).fill_zero();
  optimizer_->set_updates(0);
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
  if (sharers_.rank() == 0) store_.refresh_compute_copy();
  sharers_.barrier();
}

}  // namespace tessera::train
