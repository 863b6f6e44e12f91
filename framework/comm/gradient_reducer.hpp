#pragma once
// Invariant: after finish(), the gradients of my_slice() are the sum over all ranks, added in rank order
// wherever the ranks share a node, so that the same ranks give the same bits in every run, however the ranks
// were timed. Between finish() and publish() a rank updates the parameters of its slice and leaves all
// gradients alone; after publish() all parameters are new and gradients may be overwritten.
//
// Gradients lie in one arena in the order in which backward completes them, cut into buckets. A training
// step:
//
//   backward, calling ready_up_to(element) as gradients complete and progress() between operations
//   finish();  norm = sqrt(sum_of_squares());  optimizer on my_slice();  publish();
//
// Two strategies, chosen by where the gradients live (DESIGN 9):
// - Placement::per_rank, all ranks on one node: finish() adds the segments of all ranks in place, each rank
//   its own slice. Nothing is copied, and no rank needs more than its slice.
// - Placement::private_memory: each bucket is all-reduced in pieces as soon as it is ready, while backward
// goes
//   on. Every rank then has the whole sum.

#include <cstddef>
#include <memory>
#include <vector>

#include "comm/communicator.hpp"
#include "comm/shared_arena.hpp"
#include "comm/slice.hpp"
#include "tensor/dtype.hpp"

namespace tessera::comm {

struct GradientReducerOptions {
  std::size_t bucket_bytes = std::size_t{25} << 20;
  /// Parameters live once per node (Placement::shared), so each rank of a node updates its share of them.
  /// Otherwise every rank updates all of its own. With per_rank gradients they always do.
  bool shared_parameters = true;
};

/// Where gradients are best placed: per_rank for several ranks on one node that can map each other's memory,
/// else private_memory. Collective.
[[nodiscard]] Placement gradient_placement(const Communicator& world);

class GradientReducer {
 public:
  virtual ~GradientReducer() = default;
  GradientReducer(const GradientReducer&) = delete;
  GradientReducer& operator=(const GradientReducer&) = delete;
  GradientReducer(GradientReducer&&) = delete;
  GradientReducer& operator=(GradientReducer&&) = delete;

  /// Element ranges, consecutive from 0; bucket boundaries depend on the options and the count only.
  [[nodiscard]] const std::vector<Slice>& buckets() const { return buckets_; }
  /// Says that this rank's gradients of a bucket are complete for this step. All ranks name the buckets in
  /// the same order; what was not named is taken as ready by finish().
  /// @throws Error when the bucket was named before in this step.
  void bucket_ready(std::size_t index);
  /// Names all unnamed buckets that lie wholly below `element`.
  void ready_up_to(std::size_t element);
  /// Gives MPI time to move data: call it every few milliseconds during backward.
  virtual void progress() = 0;
  /// Returns when my_slice() is summed. Collective.
  void finish();

  /// The elements that this rank updates.
  [[nodiscard]] Slice my_slice() const { return slice_; }
  /// Of the whole summed gradient: the same bits on every rank, and in every run on as many ranks. Between
  /// finish() and publish(). Collective.
  [[nodiscard]] double sum_of_squares() const;
  /// Makes the updated parameters visible to all ranks and frees the gradients for the next step. Collective.
  void publish();

 protected:
  GradientReducer(Communicator world, Communicator sharers, SharedArena gradients, DType dtype,
                  std::size_t elements, std::size_t bucket_bytes);
  /// Called once per bucket and step, in the same order on all ranks.
  virtual void start(Slice bucket) = 0;
  /// Called when all buckets were started; returns when my_slice() is summed.
  virtual void complete() = 0;

  [[nodiscard]] const Communicator& world() const { return world_; }
  [[nodiscard]] const SharedArena& gradients() const { return gradients_; }
  [[nodiscard]] DType dtype() const { return dtype_; }

 private:
  Communicator world_;
  Communicator sharers_;  ///< the ranks whose slices together are the whole
  SharedArena gradients_;
  DType dtype_;
  Slice slice_;
  std::vector<Slice> buckets_;
  std::vector<bool> named_;
  std::size_t first_unnamed_ = 0;
};

/// @param gradients this rank's gradients start at gradients.data(). Collective.
/// @throws Error when dtype is neither f32 nor f64, the arena is too small, or its placement is `shared` or,
///         on more than one node, `per_rank`.
[[nodiscard]] std::unique_ptr<GradientReducer> make_gradient_reducer(
    const Communicator& world, const SharedArena& gradients, DType dtype, std::size_t elements,
    const GradientReducerOptions& options = {});

}  // namespace tessera::comm
