#pragma once
// Invariant: each rank's backward writes its gradients to gradients().data(), all of them, and says how far
// it is; the sum replaces them. Gradients lie in the order in which backward completes them, cut into
// buckets.
//
// Two strategies, chosen by where the gradients live (DESIGN 9):
// - Placement::per_rank, all ranks on one node: finish() adds the segments of all ranks in place, each rank
//   its own slice. Nothing is copied, and no rank sums more than its slice.
// - Placement::private_memory: each bucket is all-reduced in pieces as soon as it is ready, while backward
// goes
//   on. Every rank then has the whole sum.

#include <cstddef>
#include <memory>
#include <vector>

#include "comm/summed_gradients.hpp"

namespace tessera::comm {

struct GradientReducerOptions {
  std::size_t bucket_bytes = std::size_t{25} << 20;
  /// Parameters live once per node (Placement::shared), so each rank of a node updates its share of them.
  /// Otherwise every rank updates all of its own. With per_rank gradients they always do.
  bool shared_parameters = true;
};

/// Where a reducer's gradients are best placed: per_rank for several ranks on one node that can map each
/// other's memory, else private_memory. Collective.
[[nodiscard]] Placement gradient_placement(const Communicator& world);

class GradientReducer : public SummedGradients {
 public:
  /// Element ranges, consecutive from 0; bucket boundaries depend on the options and the count only.
  [[nodiscard]] const std::vector<Slice>& buckets() const { return buckets_; }
  /// Says that this rank's gradients of a bucket are complete for this step. All ranks name the buckets in
  /// the same order; what was not named is taken as ready by finish().
  /// @throws Error when the bucket was named before in this step.
  void bucket_ready(std::size_t index);
  /// Names all unnamed buckets that lie wholly below `element`.
  void ready_up_to(std::size_t element);
  void finish() final;
  void publish() final;

 protected:
  GradientReducer(Communicator world, Communicator sharers, SharedArena gradients, DType dtype,
                  std::size_t elements, std::size_t bucket_bytes);
  /// Called once per bucket and step, in the same order on all ranks.
  virtual void start(Slice bucket) = 0;
  /// Called when all buckets were started and no rank computes; returns when my_slice() is summed.
  virtual void complete() = 0;

 private:
  std::vector<Slice> buckets_;
  std::vector<bool> named_;
  std::size_t first_unnamed_ = 0;
};

/// Collective. @throws Error as SummedGradients does, and when the arena's placement is `shared` or, on more
/// than one node, `per_rank`.
[[nodiscard]] std::unique_ptr<GradientReducer> make_gradient_reducer(
    const Communicator& world, const SharedArena& gradients, DType dtype, std::size_t elements,
    const GradientReducerOptions& options = {});

}  // namespace tessera::comm
