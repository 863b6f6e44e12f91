#include "train/gradient_route.hpp"

#include <map>
#include <string_view>
#include <utility>
#include <vector>

#include "comm/common_gradients.hpp"
#include "comm/gradient_reducer.hpp"
#include "comm/passed_gradients.hpp"
#include "comm/scattered_gradients.hpp"

namespace tessera::train {
namespace {

ops::Node& node_of(const nn::ParameterStore& store, std::size_t index) {
  return *store.trainable_slots()[index].parameter->node();
}

std::vector<comm::Slice> ranges_of(const nn::ParameterStore& store) {
  std::vector<comm::Slice> all;
  for (const nn::ParameterSlot& slot : store.trainable_slots()) {
    const auto first = static_cast<std::size_t>(slot.offset);
    all.push_back({first, first + static_cast<std::size_t>(slot.count)});
  }
  return all;
}

/// Gradients leave their parameters in every micro-batch. Sums contribute() them.
template <class Sums>
class HandedOverRoute : public GradientRoute {
 public:
  template <class... Arguments>
  explicit HandedOverRoute(const nn::ParameterStore& store, Arguments&&... arguments)
      : store_(store), sums_(std::forward<Arguments>(arguments)...) {}

  comm::SummedGradients& sums() final { return sums_; }
  void begin_step() override {}
  bool follows_backward(bool) const final { return true; }
  void complete(std::size_t index) final { sums_.contribute(index, node_of(store_, index).take_gradient()); }
  void end_step(std::uint32_t own, std::uint32_t most) final {
    for (std::uint32_t round = own; round < most; ++round) {
      for (std::size_t i = 0; i < store_.trainable_slots().size(); ++i) sums_.contribute(i, Tensor());
    }
  }

 protected:
  const nn::ParameterStore& store_;
  Sums sums_;
};

class CommonRoute final : public HandedOverRoute<comm::CommonGradients> {
 public:
  CommonRoute(const comm::Communicator& world, const nn::ParameterStore& store,
              const comm::SharedArena& arena)
      : HandedOverRoute(store, world, arena, store.precision().parameter,
                        static_cast<std::size_t>(store.trainable_elements()), ranges_of(store),
                        first_ranks(store, world.size())) {}

  void begin_step() override {
    for (std::size_t i = 0; i < store_.trainable_slots().size(); ++i) {
      if (const Tensor place = sums_.place(i); place.defined()) node_of(store_, i).lend_gradient(place);
    }
  }

 private:
  /// Dealt over all parameters by their names: what is frozen changes nothing in the order in which the
  /// others' gradients are summed, and so no bit of the sum.
  static std::vector<int> first_ranks(const nn::ParameterStore& store, int ranks) {
    std::map<std::string_view, std::size_t> by_name;
    for (const nn::ParameterSlot& slot : store.slots()) {
      by_name[slot.name] = static_cast<std::size_t>(slot.count);
    }
    std::vector<std::size_t> sizes;
    for (const auto& [name, size] : by_name) sizes.push_back(size);
    const std::vector<int> dealt = comm::deal_evenly(sizes, ranks);
    std::map<std::string_view, int> first;
    for (auto rank = dealt.begin(); const auto& [name, size] : by_name) first[name] = *rank++;
    std::vector<int> all;
    for (const nn::ParameterSlot& slot : store.trainable_slots()) all.push_back(first.at(slot.name));
    return all;
  }
};

/// Micro-batches add up in the rank's arena. Sums are told how far it is with ready_up_to().
template <class Sums>
class ArenaRoute final : public GradientRoute {
 public:
  template <class... Arguments>
  explicit ArenaRoute(nn::ParameterStore& store, bool alone, Arguments&&... arguments)
      : store_(store), alone_(alone), sums_(std::forward<Arguments>(arguments)...) {}

  comm::SummedGradients& sums() override { return sums_; }
  void begin_step() override { store_.clear_gradients(); }
  bool follows_backward(bool last) const override { return last && !alone_; }
  void complete(std::size_t index) override {
    const auto slots = store_.trainable_slots();
    const nn::ParameterSlot& slot = slots[index];
    // The sum of the other ranks arrives here in any case.
    if (!slot.parameter->node()->has_gradient()) store_.view(store_.gradients(), slot).fill_zero();
    const bool last = index + 1 == slots.size();
    sums_.ready_up_to(static_cast<std::size_t>(last ? store_.trainable_elements() : slots[index + 1].offset));
  }
  void end_step(std::uint32_t, std::uint32_t) override {
    if (alone_) store_.zero_missing_gradients();
  }

 private:
  nn::ParameterStore& store_;
  bool alone_;
  Sums sums_;
};

}  // namespace

bool GradientRoute::once_per_node(const comm::Communicator& world) {
  return world.size() > 1 && world.on_one_node() && comm::SharedArena::supported(world);
}

std::unique_ptr<GradientRoute> GradientRoute::make(Kind kind, const Ranks& ranks, nn::ParameterStore& store,
                                                   const comm::SharedArena& arena) {
  const DType type = store.precision().parameter;
  switch (kind) {
    case Kind::common:
      return std::make_unique<CommonRoute>(ranks.world, store, arena);
    case Kind::scattered:
      return std::make_unique<ArenaRoute<comm::ScatteredGradients>>(store, false, ranks.world, ranks.sharers,
                                                                    arena, type, ranks.sharding);
    case Kind::passed:
      return std::make_unique<HandedOverRoute<comm::PassedGradients>>(
          store, ranks.world, ranks.sharers, arena, type, ranks.sharding, ranges_of(store));
    case Kind::reduced:
      break;
  }
  const comm::GradientReducerOptions options{.shared_parameters = ranks.sharers.size() > 1};
  return std::make_unique<ArenaRoute<comm::GradientReducer>>(
      store, ranks.world.size() == 1, ranks.world, arena, type,
      static_cast<std::size_t>(store.trainable_elements()), options);
}

}  // namespace tessera::train
