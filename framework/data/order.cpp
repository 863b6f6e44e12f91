#include "data/order.hpp"

#include <algorithm>
#include <bit>
#include <numeric>
#include <utility>

#include "base/error.hpp"

namespace tessera::data {

KeyedPermutation::KeyedPermutation(const RandomStream& stream, std::uint64_t position, std::uint64_t n)
    : stream_(stream), position_(position), n_(n) {
  // Each round is one fair coin per pair of partners; 6 log2 n rounds bring the distance from uniform of a
  // few observed images below what any training run could notice (theorem 3 of the paper).
  const std::size_t rounds = 6 * static_cast<std::size_t>(std::bit_width(n)) + 6;
  for (std::size_t round = 0; round < rounds; ++round) {
    round_keys_.push_back(random_below(stream_, position_, round, n_));
  }
}

std::uint64_t KeyedPermutation::operator()(std::uint64_t i) const {
  for (std::size_t round = 0; round < round_keys_.size(); ++round) {
    const std::uint64_t key = round_keys_[round];
    const std::uint64_t partner = key >= i ? key - i : key + (n_ - i);
    // Both partners see the same coin: it belongs to the larger of them. Elements of coins lie above those of
    // the round keys.
    const std::uint64_t coin = (std::uint64_t{round + 1} << 52) | std::max(i, partner);
    if ((random_bits64(stream_, position_, coin) & 1U) != 0) i = partner;
  }
  return i;
}

DrawRange rank_slice(std::uint64_t start, std::uint64_t global_batch, std::uint64_t rank,
                     std::uint64_t ranks) {
  return {start + rank * global_batch / ranks, start + (rank + 1) * global_batch / ranks};
}

DataOrder::DataOrder(std::vector<std::uint64_t> shard_records, std::uint64_t seed,
                     std::uint32_t window_shards, std::uint32_t sequence)
    : shard_records_(std::move(shard_records)),
      seed_(seed),
      window_shards_(std::max(window_shards, 1U)),
      sequence_(sequence) {
  records_ = std::accumulate(shard_records_.begin(), shard_records_.end(), std::uint64_t{0});
  if (records_ == 0) throw Error("the data set holds no record.", "data", "Name a data set with pictures.");
}

void DataOrder::plan(std::uint64_t epoch) {
  const RandomStream stream(RandomKey{.seed = seed_, .purpose = Purpose::data_order, .step = epoch});
  auto plan = std::make_shared<EpochPlan>();
  plan->epoch = epoch;
  // Position 0 orders the shards; window w permutes with position w + 1 of its sequence's own.
  const std::uint64_t positions = std::uint64_t{sequence_} << 32;
  plan->shards = random_order(stream, 0, shard_records_.size());
  plan->first.push_back(0);
  for (const std::uint32_t shard : plan->shards)
    plan->first.push_back(plan->first.back() + shard_records_[shard]);
  // Windows of nearly equal size, so that no leftover shard is read in a window of its own.
  const std::size_t count = plan->shards.size();
  const std::size_t windows = (count + window_shards_ - 1) / window_shards_;
  for (std::size_t w = 0; w <= windows; ++w) plan->window_begin.push_back(w * count / windows);
  for (std::size_t w = 0; w < windows; ++w) {
    const std::uint64_t size = plan->first[plan->window_begin[w + 1]] - plan->first[plan->window_begin[w]];
    plan->permutations.emplace_back(stream, positions + w + 1, size);
  }
  plan_ = std::move(plan);
}

Draw DataOrder::at(std::uint64_t draw) {
  const std::uint64_t epoch = draw / records_;
  if (!plan_ || plan_->epoch != epoch) plan(epoch);
  const std::uint64_t in_epoch = draw % records_;
  const auto& first = plan_->first;
  // the last of several shards that begin there: the others have no records
  const auto place_of = [&](std::uint64_t n) {
    return static_cast<std::size_t>(std::upper_bound(first.begin(), first.end(), n) - first.begin()) - 1;
  };
  const auto& begin = plan_->window_begin;
  const std::size_t window =
      static_cast<std::size_t>(std::upper_bound(begin.begin(), begin.end(), place_of(in_epoch)) -
                               begin.begin()) -
      1;
  const std::uint64_t window_first = first[begin[window]];
  const std::uint64_t permuted = window_first + plan_->permutations[window](in_epoch - window_first);
  const std::size_t place = place_of(permuted);
  return {epoch, plan_->shards[place], permuted - first[place]};
}

}  // namespace tessera::data
