#pragma once
// Invariant: every step of a mixture has the same number of samples of each of its parts, in the order of the
// parts, so that what a step draws of each is known from the number of steps before it alone. Each part has
// windows of its own shards, whatever the sizes of the others (DrawPlan says how often a record is drawn).

#include <cstdint>
#include <span>
#include <vector>

namespace tessera::data {

/// Consecutive shards of a data set, the next ones after those of the part before.
struct MixturePart {
  std::size_t shards = 0;
  double share = 1;   ///< of every batch; the shares of all parts add up to 1
  double weight = 1;  ///< of its samples' losses
};

/// How many samples of a batch are of each part: its share of them, rounded such that the sum is the batch
/// (largest remainders first, of equal ones the earlier part). @throws Error when a part would have none.
[[nodiscard]] std::vector<std::uint64_t> shared_out(std::uint64_t batch, std::span<const MixturePart> parts);

}  // namespace tessera::data
