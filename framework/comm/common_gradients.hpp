#pragma once
// Invariant: a node's gradients exist once, in a Placement::shared arena, and every element receives the
// ranks' contributions of a round in rank order: the sum of the same ranks has the same bits in every run.
//
// The memory-lean way on one node: backward leaves the gradient of a parameter in a tensor of its own, which
// is handed over as soon as it is complete and freed when it has been added. It saves (ranks - 1) arenas
// and costs one more pass over the gradients per round. A range is added in pieces, each by the ranks in
// turn; the ranks follow one another through the pieces at a short distance, so nobody waits for a whole
// range. A contribution whose turn has not come is queued; nobody waits until a limit of bytes is queued.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <vector>

#include "comm/summed_gradients.hpp"
#include "tensor/tensor.hpp"

namespace tessera::comm {

class CommonGradients final : public SummedGradients {
 public:
  static constexpr std::size_t default_queue_bytes = std::size_t{64} << 20;

  /// @param gradients of Placement::shared; on a single rank any placement.
  /// @param ranges disjoint element ranges, one per parameter; elements outside them stay zero.
  /// @throws Error as SummedGradients does, and when the ranks are on several nodes. Collective.
  CommonGradients(const Communicator& world, const SharedArena& gradients, DType dtype, std::size_t elements,
                  std::vector<Slice> ranges, std::size_t queue_bytes = default_queue_bytes);

  /// Adds this rank's gradient of a range, or nothing if `gradient` is undefined. A round is one contribution
  /// to every range by every rank (a micro-batch; a rank that has run out of samples contributes nothing
  /// to its ranges); a step has one round or more, and the first replaces the sums of the step before. Ranks
  /// contribute to the ranges in the same order. The gradient must not be written afterwards.
  /// @throws Error when type or count does not fit the range.
  void contribute(std::size_t range, const Tensor& gradient);
  void progress() override;
  /// @throws Error when the ranges have received different numbers of contributions in this step.
  void finish() override;
  void publish() override;

 private:
  /// A rank's part in one range that has not been added yet, or not wholly.
  struct Contribution {
    std::size_t range;
    Tensor gradient;
    std::uint64_t turn;  ///< the value that shows that it is this rank's turn at a piece
    bool replace;
    std::size_t next_piece = 0;
  };
  /// Adds pieces of the oldest contribution; whether it is complete.
  [[nodiscard]] bool advance_front();
  void add_piece(const Contribution& contribution, Slice piece) const;
  void drain(std::size_t allowed_bytes);

  std::vector<Slice> ranges_;
  std::size_t queue_limit_;
  SharedArena turns_arena_;
  std::vector<std::size_t> first_piece_;    ///< of each range, in turns_
  std::atomic<std::uint64_t>* turns_;       ///< contributions that each piece has received, ever
  std::vector<std::uint64_t> rounds_;       ///< contributions of this rank to each range, ever
  std::vector<std::uint64_t> step_rounds_;  ///< the same at the start of the step
  std::deque<Contribution> queue_;
  std::size_t queued_bytes_ = 0;
};

}  // namespace tessera::comm
