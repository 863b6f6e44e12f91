#include "train/model_state.hpp"

#include <algorithm>
#include <utility>

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

Tensor part_of(const Tensor& arena, comm::Slice elements) {
  return arena.slice(static_cast<std::int64_t>(elements.begin), static_cast<std::int64_t>(elements.end));
}

std::vector<comm::Slice> in_bytes(std::vector<comm::Slice> elements, std::size_t size) {
  for (comm::Slice& slice : elements) slice = {slice.begin * size, slice.end * size};
  return elements;
}

/// In order and apart from each other.
std::vector<comm::Slice> united(std::vector<comm::Slice> slices) {
  std::ranges::sort(slices, {}, &comm::Slice::begin);
  std::vector<comm::Slice> result;
  for (const comm::Slice slice : slices) {
    if (slice.size() == 0) continue;
    if (!result.empty() && slice.begin <= result.back().end) {
      result.back().end = std::max(result.back().end, slice.end);
    } else {
      result.push_back(slice);
    }
  }
  return result;
}

}  // namespace

ModelState::ModelState(nn::Module& model, const nn::Precision& precision, const AdamWSettings& settings,
                       bool average, std::uint64_t seed, const comm::Communicator& world,
                       const ShardSettings& shard)
    : world_(world),
      shared_(world.size() > 1 && comm::SharedArena::supported(world)),
      sharers_(shared_ ? world.node() : world.alone()),
      kind_(GradientRoute::once_per_node(world) ? GradientRoute::Kind::common : GradientRoute::Kind::reduced),
      store_(model) {
  if (store_.trainable_elements() == 0) {
    throw Error("every parameter of this model is frozen: there is nothing to train", "training",
                "Leave some part of the model trainable, or add an adapter that is.");
  }
  if (shard.mode != Shard::none) make_sharding(shard);
  if (sharding_ && precision.compute != precision.parameter) store_.hold_values(kept_ranges());
  const auto maker = [this](const std::string& role, std::int64_t elements, DType type) {
    return make_arena(role, elements, type);
  };
  store_.materialise(precision, maker, GradientRoute::flow(kind_));
  if (sharers_.rank() == 0) store_.initialize(seed);
  const auto state = [&](const char* role) {
    return make_arena(role, store_.trainable_elements(), precision.parameter);
  };
  AdamWState begin{.first_moment = state("first_moment"), .second_moment = state("second_moment")};
  if (average) begin.average = state("average");
  optimizer_ = std::make_unique<AdamW>(store_, settings, std::move(begin));
  sharers_.barrier();
  make_route();
}

ModelState::ModelState(nn::Module& model, const ModelState& before, const AdamWSettings& settings,
                       bool average)
    : world_(before.world_),
      shared_(before.shared_),
      sharers_(before.sharers_),
      kind_(before.kind_),
      average_active_(average && before.average_active_),
      store_(model),
      sharding_(before.sharding_),
      gather_(before.gather_),
      held_bytes_(before.held_bytes_),
      gradients_(before.gradients_) {
  const nn::ParameterStore& old = before.store_;
  if (store_.arena_elements() != old.arena_elements() ||
      store_.trainable_elements() != old.trainable_elements()) {
    throw Error("a model of " + std::to_string(store_.arena_elements()) +
                " elements cannot go on with the arenas of one of " + std::to_string(old.arena_elements()));
  }
  if (!before.keeps_all_values()) {
    if (exact_ranges() != before.exact_ranges()) {
      throw Error("a model cannot go on with the sharded values of one that reads others of them in " +
                      std::string(name_of(old.precision().parameter)),
                  "training", "Use hand_over = \"weights\", or [run] shard = \"none\".");
    }
    store_.hold_values(kept_ranges());
  }
  store_.materialise(
      old.precision(),
      [&](const std::string& role, std::int64_t, DType) {
        return role == "values" ? old.values() : role == "gradients" ? old.gradients() : old.compute_copy();
      },
      GradientRoute::flow(kind_));
  AdamWState state = before.optimizer_->state();
  if (!average) {
    state.average = {};
    held_bytes_.erase("average");
  } else if (!state.average.defined()) {
    state.average = make_arena("average", store_.trainable_elements(), store_.precision().parameter);
  }
  optimizer_ = std::make_unique<AdamW>(store_, settings, std::move(state));
  make_route();
}

void ModelState::make_sharding(const ShardSettings& shard) {
  comm::Holders holders = comm::Holders::of(world_, sharers_);
  if (holders.count() == 1) return;
  std::vector<std::size_t> starts;
  for (const nn::ParameterSlot& slot : store_.slots()) {
    starts.push_back(static_cast<std::size_t>(slot.offset));
  }
  const std::size_t bucket_elements = shard.bucket_bytes / sizeof(float);
  sharding_ = std::make_shared<const comm::Sharding>(
      std::move(holders), world_.rank(), starts, static_cast<std::size_t>(store_.arena_elements()),
      static_cast<std::size_t>(store_.trainable_elements()), bucket_elements);
  gather_ = std::make_shared<comm::BucketGather>(world_, sharers_, sharding_);
  kind_ = shard.mode == Shard::gradients ? GradientRoute::Kind::passed : GradientRoute::Kind::scattered;
}

void ModelState::make_route() {
  route_ = GradientRoute::make(kind_, {world_, sharers_, sharding_}, store_, gradients_.value());
}

Tensor ModelState::make_arena(const std::string& role, std::int64_t elements, DType type) {
  const std::size_t size = size_of(type);
  const bool gradients = role == "gradients";
  const bool shared = gradients ? kind_ == GradientRoute::Kind::common : shared_;
  std::vector<comm::Slice> held{{0, static_cast<std::size_t>(elements)}};
  if (gradients) {
    if (kind_ == GradientRoute::Kind::passed) held = sharding_->my_parts();
  } else if (role == "values") {
    if (!keeps_all_values()) held = kept_values();
  } else if (role != "compute" && sharding_) {
    held = sharding_->my_holders_parts(sharding_->buckets_below_border());
  }
  const comm::SharedArena arena(world_, static_cast<std::size_t>(elements) * size,
                                shared ? comm::Placement::shared : comm::Placement::private_memory,
                                in_bytes(std::move(held), size));
  held_bytes_[role] = arena.held_bytes();
  if (gradients) gradients_ = arena;
  return Tensor::wrap(arena.data(), {elements}, type, arena.owner());
}

std::vector<comm::Slice> ModelState::exact_ranges() const {
  std::vector<comm::Slice> ranges;
  for (const nn::ParameterSlot& slot : store_.slots()) {
    if (!slot.parameter->options().exact) continue;
    const auto begin = static_cast<std::size_t>(slot.offset);
    ranges.push_back({begin, begin + static_cast<std::size_t>(slot.count)});
  }
  return ranges;
}

std::vector<comm::Slice> ModelState::kept_values() const {
  std::vector<comm::Slice> kept = sharding_->my_holders_parts(sharding_->buckets().size());
  std::ranges::copy(exact_ranges(), std::back_inserter(kept));
  return united(std::move(kept));
}

std::vector<nn::ElementRange> ModelState::kept_ranges() const {
  std::vector<nn::ElementRange> ranges;
  for (const comm::Slice kept : kept_values()) {
    ranges.push_back({static_cast<std::int64_t>(kept.begin), static_cast<std::int64_t>(kept.end)});
  }
  return ranges;
}

bool ModelState::keeps_all_values() const {
  return !sharding_ || store_.precision().compute == store_.precision().parameter;
}

ModelState::Messages ModelState::messages_of(std::size_t bucket) const {
  const comm::Slice whole = sharding_->buckets()[bucket];
  if (keeps_all_values()) return {{{store_.values(), whole}}};
  Messages messages{{{store_.compute_copy(), whole}}, {}};
  for (const comm::Slice exact : exact_ranges()) {
    if (exact.begin >= whole.begin && exact.end <= whole.end) {
      messages.back().push_back({store_.values(), exact});
    }
  }
  return messages;
}

void ModelState::send(std::size_t bucket) {
  sharers_.barrier();
  for (const auto& segments : messages_of(bucket)) gather_->start(bucket, segments);
  gather_->progress();
}

void ModelState::complete(std::size_t buckets) {
  if (!sharding_) {
    sharers_.barrier();
    return;
  }
  for (std::size_t bucket = 0; bucket < buckets; ++bucket) send(bucket);
  gather_->wait();
}

void ModelState::update(const UpdateScalars& scalars) {
  if (!sharding_) {
    optimizer_->update(scalars, sums().my_parts());
    return;
  }
  optimizer_->update(scalars, sums().my_parts(), [&](std::size_t bucket) { send(bucket); });
  gather_->wait();
}

void ModelState::start_average() {
  for (const comm::Slice part : sums().my_parts()) {
    part_of(optimizer_->average(), part).copy_from(part_of(store_.values(), part));
  }
  average_active_ = true;
}

void ModelState::swap_average() {
  if (!average_active_) return;
  sharers_.barrier();
  for (const comm::Slice part : sums().my_parts()) {
    swap_elements(part_of(store_.values(), part), part_of(optimizer_->average(), part));
    store_.refresh_compute_copy(static_cast<std::int64_t>(part.begin), static_cast<std::int64_t>(part.end));
  }
  complete(sharding_ ? sharding_->buckets_below_border() : 0);
}

void ModelState::write_values(const std::function<void(int, int)>& write) {
  sharers_.together([&] { write(sharers_.rank(), sharers_.size()); });
  sharers_.barrier();
}

Tensor ModelState::whole_values() const {
  if (keeps_all_values()) return store_.values();
  const Tensor& mine = store_.values();
  const comm::SharedArena arena(world_, static_cast<std::size_t>(mine.numel()) * size_of(mine.dtype()),
                                shared_ ? comm::Placement::shared : comm::Placement::private_memory);
  const Tensor whole = Tensor::wrap(arena.data(), mine.shape(), mine.dtype(), arena.owner());
  for (std::size_t bucket = 0; bucket < sharding_->buckets().size(); ++bucket) {
    const comm::Slice part = sharding_->part(bucket, world_.rank());
    part_of(whole, part).copy_from(part_of(mine, part));
    sharers_.barrier();
    gather_->start(bucket, {{whole, sharding_->buckets()[bucket]}});
  }
  gather_->wait();
  return whole;
}

std::vector<checkpoint::NamedArena> ModelState::arenas() const {
  std::vector<checkpoint::NamedArena> arenas{{"model", store_.values(), sharding_},
                                             {"first_moment", optimizer_->first_moment(), sharding_},
                                             {"second_moment", optimizer_->second_moment(), sharding_}};
  if (average_active_) arenas.push_back({"average", optimizer_->average(), sharding_});
  return arenas;
}

void ModelState::load(const checkpoint::Description& description, const std::filesystem::path& file) {
  average_active_ = description.state.average_active && optimizer_->average().defined();
  checkpoint::load(description, file, store_, arenas(), sharding_ ? world_ : sharers_);
  optimizer_->set_updates(description.state.optimizer_updates);
  if (!sharding_) {
    if (sharers_.rank() == 0) store_.refresh_compute_copy();
  } else {
    for (std::size_t bucket = 0; bucket < sharding_->buckets().size(); ++bucket) {
      const comm::Slice part = sharding_->part(bucket, world_.rank());
      store_.refresh_compute_copy(static_cast<std::int64_t>(part.begin), static_cast<std::int64_t>(part.end));
    }
  }
  complete(sharding_ ? sharding_->buckets().size() : 0);
}

}  // namespace tessera::train
