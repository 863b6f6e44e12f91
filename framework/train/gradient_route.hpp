#pragma once
// Invariant: every trainable parameter's gradient goes from backward to its sum over the ranks on one route,
// and GradientStep need not know which:
// - common: all ranks on one node that can share memory: each gradient is added to the node's one arena as
// soon
//   as it is complete, in every micro-batch (comm::CommonGradients);
// - reduced: micro-batches add up in an arena of the rank's own, which is reduced during the last one's
// backward
//   (comm::GradientReducer);
// - scattered: likewise, but each rank receives only the sums that its share of the optimizer needs
//   (comm::ScatteredGradients);
// - passed: a rank keeps its share of the sums alone, and every micro-batch adds to them
//   (comm::PassedGradients).

#include <cstdint>
#include <memory>

#include "comm/sharding.hpp"
#include "comm/summed_gradients.hpp"
#include "nn/parameter_store.hpp"

namespace tessera::train {

class GradientRoute {
 public:
  virtual ~GradientRoute() = default;
  GradientRoute(const GradientRoute&) = delete;
  GradientRoute& operator=(const GradientRoute&) = delete;

  enum class Kind : std::uint8_t { common, reduced, scattered, passed };
  /// Whether the ranks take the common route. Collective.
  [[nodiscard]] static bool once_per_node(const comm::Communicator& world);
  /// How the store of a kind of route is materialised.
  [[nodiscard]] static nn::GradientFlow flow(Kind kind) {
    return kind == Kind::common || kind == Kind::passed ? nn::GradientFlow::handed_over
                                                        : nn::GradientFlow::into_arena;
  }
  struct Ranks {
    comm::Communicator world;
    comm::Communicator sharers;  ///< the ranks whose values lie in one memory with this one's
    std::shared_ptr<const comm::Sharding> sharding{};  ///< where gradients are scattered or passed
  };
  /// @param store  materialised; outlives the route. @param arena  of its gradients: Placement::shared for
  /// the common route, else private memory, and for gradients that are passed on at least of the rank's
  /// parts. Collective.
  [[nodiscard]] static std::unique_ptr<GradientRoute> make(Kind kind, const Ranks& ranks,
                                                           nn::ParameterStore& store,
                                                           const comm::SharedArena& arena);

  /// The end of the route: finish(), my_parts(), sum_of_squares(), publish().
  [[nodiscard]] virtual comm::SummedGradients& sums() = 0;

  /// Before the first micro-batch of a step. Local.
  virtual void begin_step() = 0;
  /// Whether complete() must be called during the backward of a micro-batch. Local.
  /// @param last  of this rank's in the step
  [[nodiscard]] virtual bool follows_backward(bool last) const = 0;
  /// Backward is done with a trainable slot in this micro-batch; slots in their order, by their index. Local.
  virtual void complete(std::size_t index) = 0;
  /// After the last micro-batch; sums().finish() follows. Local.
  /// @param own  micro-batches that this rank had in the step. @param most  the most that any rank had
  virtual void end_step(std::uint32_t own, std::uint32_t most) = 0;

 protected:
  GradientRoute() = default;
};

}  // namespace tessera::train
