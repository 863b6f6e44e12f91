#pragma once
// Invariant: a training step of a data-parallel run passes through these states, all ranks alike:
//
//   backward (gradients arrive; progress() between operations)
//   finish()   -> the gradients of my_slice() are the sum over all ranks and no rank computes any more
//   norm = sqrt(sum_of_squares()); the optimizer updates the parameters of my_slice()
//   publish()  -> all parameters are new on all ranks, gradients may be overwritten
//
// The same ranks give the same bits in every run, however they were timed. How gradients arrive is the
// business of the two kinds: GradientReducer (each rank has memory for all of its gradients) and
// CommonGradients (once per node).

#include <cstddef>

#include "comm/communicator.hpp"
#include "comm/shared_arena.hpp"
#include "comm/slice.hpp"
#include "tensor/dtype.hpp"

namespace tessera::comm {

class SummedGradients {
 public:
  virtual ~SummedGradients() = default;
  SummedGradients(const SummedGradients&) = delete;
  SummedGradients& operator=(const SummedGradients&) = delete;
  SummedGradients(SummedGradients&&) = delete;
  SummedGradients& operator=(SummedGradients&&) = delete;

  /// Moves on what can move without waiting: call it every few milliseconds during backward.
  virtual void progress() = 0;
  /// Returns when my_slice() is summed. Collective.
  virtual void finish() = 0;
  /// The elements that this rank updates. Their sums lie at the same elements of gradients().data().
  [[nodiscard]] Slice my_slice() const { return slice_; }
  /// Of the whole summed gradient: the same bits on every rank, and in every run on as many ranks. Between
  /// finish() and publish(). Collective.
  [[nodiscard]] virtual double sum_of_squares() const;
  /// Makes the updated parameters visible to all ranks and frees the gradients for the next step. Collective.
  virtual void publish();

  [[nodiscard]] const SharedArena& gradients() const { return gradients_; }

 protected:
  /// @param sharers the ranks whose slices together are the whole
  /// @throws Error when dtype is neither f32 nor f64, or the arena is too small.
  SummedGradients(Communicator world, Communicator sharers, SharedArena gradients, DType dtype,
                  std::size_t elements);

  [[nodiscard]] const Communicator& world() const { return world_; }
  [[nodiscard]] const Communicator& sharers() const { return sharers_; }
  [[nodiscard]] DType dtype() const { return dtype_; }

 private:
  Communicator world_;
  Communicator sharers_;
  SharedArena gradients_;
  DType dtype_;
  Slice slice_;
};

/// Calls `body` with a null pointer of the gradients' element type.
template <class Body>
void dispatch_gradient_type(DType dtype, Body&& body) {
  if (dtype == DType::f32) {
    body(static_cast<float*>(nullptr));
  } else {
    body(static_cast<double*>(nullptr));
  }
}

}  // namespace tessera::comm
