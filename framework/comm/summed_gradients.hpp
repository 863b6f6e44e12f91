#pragma once
// Invariant: a training step of a data-parallel run passes through these states, all ranks alike:
//
//   backward (gradients arrive; progress() between operations)
//   finish()   -> the gradients of my_parts() are the sum over all ranks and no rank computes any more
//   norm = sqrt(sum_of_squares()); the optimizer updates the parameters of my_parts()
//   publish()  -> all parameters in this memory are new, gradients may be overwritten
//
// The same ranks give the same bits in every run, however they were timed. How gradients arrive is the
// business of the kinds:
//   CommonGradients     the ranks of one node have them once
//   GradientReducer     each rank has memory for all, and receives all sums
//   ScatteredGradients  each rank has memory for all, and receives the sums of its own parts
//   PassedGradients     each rank has memory for its own parts

#include <cstddef>
#include <vector>

#include "comm/communicator.hpp"
#include "comm/shared_arena.hpp"
#include "comm/slice.hpp"
#include "tensor/tensor.hpp"

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
  /// Returns when my_parts() are summed. Collective.
  virtual void finish() = 0;
  /// The elements that this rank updates. Their sums lie at the same elements of gradients().data().
  [[nodiscard]] const std::vector<Slice>& my_parts() const { return parts_; }
  /// Of the whole summed gradient: the same bits on every rank, and in every run on as many ranks. Between
  /// finish() and publish(). Collective.
  [[nodiscard]] virtual double sum_of_squares() const;
  /// Makes the updated parameters visible to all ranks that have them in common and frees the gradients for
  /// the next step. Collective.
  virtual void publish();

  [[nodiscard]] const SharedArena& gradients() const { return gradients_; }

 protected:
  /// An even slice of `elements` for each of `sharers`, which together are the whole.
  /// @throws Error when dtype is neither f32 nor f64, or the arena is too small.
  SummedGradients(Communicator world, Communicator sharers, SharedArena gradients, DType dtype,
                  std::size_t elements);
  /// @param sharers  the ranks whose parts together are the whole
  SummedGradients(Communicator world, Communicator sharers, SharedArena gradients, DType dtype,
                  std::size_t elements, std::vector<Slice> parts);

  [[nodiscard]] const Communicator& world() const { return world_; }
  [[nodiscard]] const Communicator& sharers() const { return sharers_; }
  [[nodiscard]] DType dtype() const { return dtype_; }
  /// All elements of gradients() in a row.
  [[nodiscard]] Tensor all() const;

 private:
  Communicator world_;
  Communicator sharers_;
  SharedArena gradients_;
  DType dtype_;
  std::vector<Slice> parts_;
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
