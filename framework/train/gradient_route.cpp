#include "train/gradient_route.hpp"

#include <map>
#include <string_view>

#include "comm/common_gradients.hpp"
#include "comm/gradient_reducer.hpp"

namespace tessera::train {
namespace {

class CommonRoute final : public GradientRoute {
 public:
  CommonRoute(const comm::Communicator& world, const nn::ParameterStore& store,
              const comm::SharedArena& arena)
      : store_(store),
        common_(world, arena, store.precision().parameter,
                static_cast<std::size_t>(store.trainable_elements()), ranges(store),
                first_ranks(store, world.size())) {}

  comm::SummedGradients& sums() override { return common_; }
  void begin_step() override {
    for (std::size_t i = 0; i < store_.trainable_slots().size(); ++i) {
      if (const Tensor place = common_.place(i); place.defined()) node(i).lend_gradient(place);
    }
  }
  bool follows_backward(bool) const override { return true; }
  void complete(std::size_t index) override { common_.contribute(index, node(index).take_gradient()); }
  void end_step(std::uint32_t own, std::uint32_t most) override {
    for (std::uint32_t round = own; round < most; ++round) {
      for (std::size_t i = 0; i < store_.trainable_slots().size(); ++i) common_.contribute(i, Tensor());
    }
  }

 private:
  [[nodiscard]] ops::Node& node(std::size_t index) const {
    return *store_.trainable_slots()[index].parameter->master().node();
  }
  static std::vector<comm::Slice> ranges(const nn::ParameterStore& store) {
    std::vector<comm::Slice> all;
    for (const nn::ParameterSlot& slot : store.trainable_slots()) {
      const auto first = static_cast<std::size_t>(slot.offset);
      all.push_back({first, first + static_cast<std::size_t>(slot.count)});
    }
    return all;
  }
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

  const nn::ParameterStore& store_;
  comm::CommonGradients common_;
};

class ReducedRoute final : public GradientRoute {
 public:
  ReducedRoute(const comm::Communicator& world, nn::ParameterStore& store, const comm::SharedArena& arena,
               bool shared_parameters)
      : store_(store),
        alone_(world.size() == 1),
        reducer_(world, arena, store.precision().parameter,
                 static_cast<std::size_t>(store.trainable_elements()),
                 {.shared_parameters = shared_parameters}) {}

  comm::SummedGradients& sums() override { return reducer_; }
  void begin_step() override { store_.clear_gradients(); }
  bool follows_backward(bool last) const override { return last && !alone_; }
  void complete(std::size_t index) override {
    const auto slots = store_.trainable_slots();
    const nn::ParameterSlot& slot = slots[index];
    // The sum of the other ranks arrives here in any case.
    if (!slot.parameter->master().node()->has_gradient()) store_.view(store_.gradients(), slot).fill_zero();
    const bool last = index + 1 == slots.size();
    reducer_.ready_up_to(
        static_cast<std::size_t>(last ? store_.trainable_elements() : slots[index + 1].offset));
  }
  void end_step(std::uint32_t, std::uint32_t) override {
    if (alone_) store_.zero_missing_gradients();
  }

 private:
  nn::ParameterStore& store_;
  bool alone_;
  comm::GradientReducer reducer_;
};

}  // namespace

bool GradientRoute::once_per_node(const comm::Communicator& world) {
  return world.size() > 1 && world.on_one_node() && comm::SharedArena::supported(world);
}

std::unique_ptr<GradientRoute> GradientRoute::make(const comm::Communicator& world, nn::ParameterStore& store,
                                                   const comm::SharedArena& arena, bool shared_parameters) {
  if (arena.placement() == comm::Placement::shared) {
    return std::make_unique<CommonRoute>(world, store, arena);
  }
  return std::make_unique<ReducedRoute>(world, store, arena, shared_parameters);
}

}  // namespace tessera::train
