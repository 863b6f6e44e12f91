#pragma once
// Invariant: every trainable parameter's gradient goes from backward to its sum over the ranks on one of two
// routes, and GradientStep need not know which:
// - all ranks on one node that can share memory: each gradient is added to the node's one arena as soon as it
//   is complete, in every micro-batch (comm::CommonGradients);
// - otherwise: micro-batches add up in an arena of the rank's own, which is reduced during the last one's
//   backward (comm::GradientReducer).

#include <cstdint>
#include <memory>

#include "comm/summed_gradients.hpp"
#include "nn/parameter_store.hpp"

namespace tessera::train {

class GradientRoute {
 public:
  virtual ~GradientRoute() = default;
  GradientRoute(const GradientRoute&) = delete;
  GradientRoute& operator=(const GradientRoute&) = delete;

  /// Whether the ranks take the first route: the arena of gradients is then Placement::shared and the store
  /// materialised with GradientFlow::handed_over, otherwise private_memory and into_arena. Collective.
  [[nodiscard]] static bool once_per_node(const comm::Communicator& world);
  /// @param store  materialised; outlives the route. @param arena  of its gradients, placed as said above.
  /// @param shared_parameters  the values live once per node. Collective.
  [[nodiscard]] static std::unique_ptr<GradientRoute> make(const comm::Communicator& world,
                                                           nn::ParameterStore& store,
                                                           const comm::SharedArena& arena,
                                                           bool shared_parameters);

  /// The end of the route: finish(), my_slice(), sum_of_squares(), publish().
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
