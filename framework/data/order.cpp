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
    : shard_records_(std::make_shared<const std::vector<std::uint64_t>>(std::move(shard_records))),
      seed_(seed),
      window_shards_(std::max(window_shards, 1U)),
      sequence_(sequence) {
  records_ = std::accumulate(shard_records_->begin(), shard_records_->end(), std::uint64_t{0});
  if (records_ == 0) throw Error("the data set holds no record.", "data", "Name a data set with pictures.");
}

void DataOrder::plan(std::uint64_t epoch) {
  auto plan = std::make_shared<EpochPlan>();
  plan->epoch = epoch;
  plan->stream = RandomStream(RandomKey{.seed = seed_, .purpose = Purpose::data_order, .step = epoch});
  // Position 0 orders the shards; window w permutes with position w + 1 of its sequence's own.
  plan->shards = random_order(plan->stream, 0, shards());
  plan->first.reserve(shards() + 1);
  plan->first.push_back(0);
  for (const std::uint32_t shard : plan->shards)
    plan->first.push_back(plan->first.back() + (*shard_records_)[shard]);
  plan_ = std::move(plan);
}

std::size_t DataOrder::place_of(std::uint64_t in_epoch) const {
  // the last of several shards that begin there: the others have no records
  const auto& first = plan_->first;
  return static_cast<std::size_t>(std::upper_bound(first.begin(), first.end(), in_epoch) - first.begin()) - 1;
}

void DataOrder::enter_window(std::uint64_t in_epoch) {
  // Windows of nearly equal size, so that no leftover shard is read in a window of its own: window w begins
  // at place floor(w count / windows).
  const std::size_t count = shards();
  const std::size_t windows = (count + window_shards_ - 1) / window_shards_;
  const auto begin = [&](std::size_t w) { return w * count / windows; };
  const std::size_t window = ((place_of(in_epoch) + 1) * windows - 1) / count;
  const std::uint64_t first = plan_->first[begin(window)];
  const std::uint64_t last = plan_->first[begin(window + 1)];
  const std::uint64_t positions = std::uint64_t{sequence_} << 32;
  window_.emplace(Window{plan_->epoch, first, last,
                         KeyedPermutation(plan_->stream, positions + window + 1, last - first)});
}

Draw DataOrder::at(std::uint64_t draw) {
  const std::uint64_t epoch = draw / records_;
  if (!plan_ || plan_->epoch != epoch) plan(epoch);
  const std::uint64_t in_epoch = draw % records_;
  if (!window_ || window_->epoch != epoch || in_epoch < window_->first || in_epoch >= window_->last) {
    enter_window(in_epoch);
  }
  const std::uint64_t permuted = window_->first + window_->permutation(in_epoch - window_->first);
  const std::size_t place = place_of(permuted);
  return {epoch, plan_->shards[place], permuted - plan_->first[place]};
}

Draw DataOrder::record(std::uint64_t index) const {
  std::uint32_t shard = 0;
  while (index >= (*shard_records_)[shard]) index -= (*shard_records_)[shard++];
  return {0, shard, index};
}

}  // namespace tessera::data
