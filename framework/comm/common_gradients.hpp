#pragma once
// Invariant: a node's gradients exist once, in a Placement::shared arena, and every element receives the
// ranks' contributions of a round in one fixed order: the sum of the same ranks has the same bits in every
// run.
//
// The memory-lean way on one node. Each range (a parameter) has a rank that is first in its order; the first
// rank's backward writes straight into the arena. The others leave the gradient in a tensor of its own, which
// is handed over as soon as it is complete and freed when it has been added. It saves (ranks - 1) arenas, and
// the ranks together read and write as much as if each summed its slice of all arenas. A range is added in
// pieces, so that ranks follow one another through it at a short distance. A contribution whose turn has not
// come is queued; nobody waits before the queue would raise this rank's peak of tensor memory by more than a
// limit.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <vector>

#include "comm/summed_gradients.hpp"
#include "tensor/tensor.hpp"

namespace tessera::comm {

/// Gives each of `sizes` to one of `ranks`, in turn to the one that has the least so far.
[[nodiscard]] std::vector<int> deal_evenly(const std::vector<std::size_t>& sizes, int ranks);

class CommonGradients final : public SummedGradients {
 public:
  static constexpr std::size_t default_queue_bytes = std::size_t{64} << 20;

  /// @param gradients of Placement::shared; on a single rank any placement.
  /// @param ranges disjoint element ranges, one per parameter; elements outside them stay zero.
  /// @param first_ranks of each range the rank that comes first in its order; the same on all ranks. Whoever
  /// is first moves the least, so all should be so about as often (deal_evenly()).
  /// @param queue_bytes how far the queue may raise the rank's peak of tensor memory.
  /// @throws Error as SummedGradients does, and when the ranks are on several nodes. Collective.
  CommonGradients(const Communicator& world, const SharedArena& gradients, DType dtype, std::size_t elements,
                  std::vector<Slice> ranges, std::vector<int> first_ranks,
                  std::size_t queue_bytes = default_queue_bytes);

  /// The rank that comes first in the order of a range; the next one follows, and after the last rank 0.
  [[nodiscard]] int first_rank(std::size_t range) const { return first_rank_.at(range); }
  /// Where this rank's gradient of a range may be written in the next round, so that contributing it moves
  /// nothing: in the arena, when the round is the first of a step and this rank the first in the range's
  /// order. Undefined otherwise.
  [[nodiscard]] Tensor place(std::size_t range) const;
  /// Adds this rank's gradient of a range, or nothing if `gradient` is undefined. A round is one contribution
  /// to every range by every rank (a micro-batch; a rank that has run out of samples contributes nothing
  /// to its ranges); a step has one round or more, and the first replaces the sums of the step before. Ranks
  /// contribute to the ranges in the same order. The gradient must not be written afterwards.
  /// @throws Error when type or count does not fit the range.
  void contribute(std::size_t range, const Tensor& gradient);
  void progress() override;
  /// @throws Error when the ranges have received different numbers of contributions in this step.
  void finish() override;
  /// Taken while the last rank in a range's order had the sums in its cache: this reads no gradients.
  [[nodiscard]] double sum_of_squares() const override;
  void publish() override;

 private:
  /// A rank's part in one range that has not been added yet, or not wholly.
  struct Contribution {
    std::size_t range;
    Tensor gradient;
    std::uint64_t turn;  ///< the value that shows that it is this rank's turn at a piece
    bool replace;
    std::int64_t begin = 0;  ///< for the timeline
    std::size_t next_piece = 0;
  };
  /// This rank's place in the order of a range.
  [[nodiscard]] std::uint64_t position(std::size_t range) const;
  [[nodiscard]] bool replaces(std::size_t range) const;
  [[nodiscard]] bool in_place(const Contribution& contribution) const;
  /// Adds the pieces whose turn it is; whether that were all.
  [[nodiscard]] bool advance(Contribution& contribution);
  void add_piece(const Contribution& contribution, Slice piece) const;
  [[nodiscard]] bool may_queue() const;

  std::vector<Slice> ranges_;
  std::vector<int> first_rank_;  ///< of each range's order
  std::size_t queue_limit_;
  std::vector<std::size_t> first_piece_;  ///< of each range, in what follows
  SharedArena pieces_arena_;
  std::atomic<std::uint64_t>* turns_;       ///< contributions that each piece has received, ever
  double* squares_;                         ///< of the sums of each piece, after the last rank of a round
  std::vector<std::uint64_t> rounds_;       ///< contributions of this rank to each range, ever
  std::vector<std::uint64_t> step_rounds_;  ///< the same at the start of the step
  std::deque<Contribution> queue_;
  std::size_t queued_bytes_ = 0;
};

}  // namespace tessera::comm
