#pragma once
// Invariant: each rank's backward writes its gradients to gradients().data(), all of them, in memory of its
// own, and says how far it is; the sum replaces them. Gradients lie in the order in which backward completes
// them, cut into buckets; each bucket is all-reduced in pieces as soon as it is ready, while backward goes
// on. Every rank then has the whole sum.
//
// The way of a single rank, and of ranks on several nodes (DESIGN 9).

#include <cstddef>
#include <deque>
#include <vector>

#include "comm/summed_gradients.hpp"

namespace tessera::comm {

struct GradientReducerOptions {
  std::size_t bucket_bytes = std::size_t{25} << 20;
  /// Parameters live once per node (Placement::shared), so each rank of a node updates its share of them.
  /// Otherwise every rank updates all of its own.
  bool shared_parameters = true;
};

class GradientReducer final : public SummedGradients {
 public:
  /// Collective. @throws Error as SummedGradients does, and when the arena is not private memory.
  GradientReducer(const Communicator& world, const SharedArena& gradients, DType dtype, std::size_t elements,
                  const GradientReducerOptions& options = {});

  /// Element ranges, consecutive from 0; bucket boundaries depend on the options and the count only.
  [[nodiscard]] const std::vector<Slice>& buckets() const { return buckets_; }
  /// Says that this rank's gradients of a bucket are complete for this step. All ranks name the buckets in
  /// the same order; what was not named is taken as ready by finish().
  /// @throws Error when the bucket was named before in this step.
  void bucket_ready(std::size_t index);
  /// Names all unnamed buckets that lie wholly below `element`.
  void ready_up_to(std::size_t element);
  void progress() override;
  void finish() override;
  void publish() override;

 private:
  /// Elements of one bucket that are reduced at once.
  struct Piece {
    Slice elements;
    std::size_t bucket;
    bool first, last;  ///< of the bucket
  };
  struct Flight {
    Piece piece;
    PendingReduction reduction;
  };
  void launch();
  /// The reduction that was started first is done.
  void land();

  std::vector<Slice> buckets_;
  std::vector<bool> named_;
  std::size_t first_unnamed_ = 0;
  std::deque<Piece> waiting_;  ///< of named buckets, in the order of their naming
  std::deque<Flight> flying_;
  std::deque<std::int64_t> started_;  ///< when the buckets in flight were, for the timeline
};

}  // namespace tessera::comm
