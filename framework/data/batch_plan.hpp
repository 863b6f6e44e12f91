#pragma once
// Invariant: a BatchPlan is a pure function from (seed, step) to the bucket of a global batch and to the
// draws of that bucket's endless sequence (DataOrder) that make up the batch; all ranks take the same bucket
// in a step without a word. The step number is the whole state. Nothing is stored but the buckets' sizes.
//
// The queues of PixArt's batch sampler (recipes P.E.2), without the queues: epoch k = 1, 2, ... appends all
// n_b records of every bucket b to the queue of b, which is cut into batches of B; fewer than B records wait
// for the next epoch. By the end of epoch k bucket b has thus given floor(k n_b / B) batches, and epoch k has
//     e_b = floor(k n_b / B) - floor((k - 1) n_b / B)
// of them. Batch i of those falls at a random place in the i-th of e_b equal parts of the epoch (a keyed draw
// per batch); the steps of the epoch are all buckets' batches in the order of these places. So each bucket's
// batches keep their order, and at any time a bucket is less than one batch from its share of the epoch.
//
// Guarantee: by the end of epoch k of the plan a record of bucket b was drawn between k - ceil((B-1) / n_b)
// and k times; that is k or k - 1 times in every bucket of at least B - 1 records. Proof: batches of a bucket
// are consecutive pieces of its sequence and come in order, so what was drawn is a prefix of it; its length
// is k n_b - r, where r < B records wait. Each n_b consecutive draws from a multiple of n_b on hold every
// record once (DataOrder), so every record was drawn floor((k n_b - r) / n_b) = k - ceil(r / n_b) times or
// once more, at most k times, as the prefix ends within the k-th permutation. QED. (A batch
// of a smaller bucket holds its records several times: no order of whole batches can promise more.)
//
// Finding step s takes O(buckets log) work: the epoch by bisection over the numbers of batches above, the
// place by bisection over the epoch, since each bucket's number of batches before a place is known at once.

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/random.hpp"

namespace tessera::data {

/// Draws [first_draw, first_draw + B) of a bucket's sequence.
struct PlannedBatch {
  std::size_t bucket = 0;
  std::uint64_t first_draw = 0;
  friend bool operator==(const PlannedBatch&, const PlannedBatch&) = default;
};

class BatchPlan {
 public:
  /// @param records  of each bucket; at least one in all.
  /// @param batch    B, samples per step over all ranks.
  /// @param taken    draws of each bucket's sequence that were taken before step 0, by batches of another
  /// size; empty for none. The guarantee goes on from the end of the epoch that was running: what was drawn
  /// of a bucket is a prefix of its sequence still. Batches that records left waiting are enough for now come
  /// first.
  /// @throws Error when there is no record or no batch.
  BatchPlan(std::vector<std::uint64_t> records, std::uint64_t seed, std::uint64_t batch,
            std::vector<std::uint64_t> taken = {});

  /// Any thread. Sums of draws must stay below 2^63.
  [[nodiscard]] PlannedBatch at(std::uint64_t step) const;
  /// Draws of each bucket that are taken before a step, those before step 0 included.
  [[nodiscard]] std::vector<std::uint64_t> taken_before(std::uint64_t step) const;
  /// Steps before the end of epoch k: the batches of the first k epochs.
  [[nodiscard]] std::uint64_t steps_of_epochs(std::uint64_t epochs) const;

 private:
  struct Place;
  [[nodiscard]] Place find(std::uint64_t step) const;
  [[nodiscard]] std::uint64_t batches(std::size_t bucket, std::uint64_t epochs) const;

  std::vector<std::uint64_t> records_;
  std::vector<std::uint64_t> taken_;
  std::uint64_t seed_;
  std::uint64_t batch_;
};

}  // namespace tessera::data
