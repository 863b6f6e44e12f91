#include "comm/sharding.hpp"

#include <algorithm>
#include <string>
#include <utility>

namespace tessera::comm {
namespace {

// Parts start on a cache line and a vector of either element type.
constexpr std::size_t granule = 16;

Slice moved(Slice slice, std::size_t by) { return {slice.begin + by, slice.end + by}; }

}  // namespace

Holders Holders::of(const Communicator& world, const Communicator& sharers) {
  // A holder is known by its first rank.
  const std::string leader = sharers.gather(std::to_string(world.rank())).front();
  const std::vector<std::string> leaders = world.gather(leader);
  std::vector<std::pair<int, int>> order;  // of holder and rank
  for (std::size_t rank = 0; rank < leaders.size(); ++rank) {
    order.emplace_back(std::stoi(leaders[rank]), static_cast<int>(rank));
  }
  std::sort(order.begin(), order.end());
  Holders holders;
  holders.position.resize(order.size());
  for (std::size_t i = 0; i < order.size(); ++i) {
    const auto [of, rank] = order[i];
    if (i == 0 || of != order[i - 1].first) holders.first.push_back(static_cast<int>(i));
    holders.position[static_cast<std::size_t>(rank)] = static_cast<int>(i);
    if (rank == world.rank()) holders.mine = static_cast<int>(holders.first.size()) - 1;
  }
  holders.first.push_back(static_cast<int>(order.size()));
  return holders;
}

int Holders::fewest() const {
  int fewest = static_cast<int>(position.size());
  for (std::size_t i = 0; i + 1 < first.size(); ++i) fewest = std::min(fewest, first[i + 1] - first[i]);
  return fewest;
}

Sharding::Sharding(Holders holders, int rank, const std::vector<std::size_t>& starts, std::size_t elements,
                   std::size_t border, std::size_t bucket_elements)
    : holders_(std::move(holders)), rank_(rank) {
  std::size_t begin = 0;
  const auto close = [&](std::size_t end) {
    if (end > begin) buckets_.push_back({begin, end});
    begin = end;
  };
  for (std::size_t i = 0; i < starts.size(); ++i) {
    const std::size_t end = i + 1 < starts.size() ? starts[i + 1] : elements;
    if (starts[i] == border || end - begin > bucket_elements) close(starts[i]);
  }
  close(elements);
  below_border_ = static_cast<std::size_t>(
      std::ranges::count_if(buckets_, [&](const Slice bucket) { return bucket.end <= border; }));
}

std::size_t Sharding::bucket_of(std::size_t element) const {
  const auto after = std::ranges::upper_bound(buckets_, element, {}, &Slice::begin);
  return static_cast<std::size_t>(after - buckets_.begin()) - 1;
}

Slice Sharding::part(std::size_t bucket, int rank) const {
  const Slice whole = buckets_.at(bucket);
  const int position = holders_.position.at(static_cast<std::size_t>(rank));
  return moved(slice_of(whole.size(), position, ranks(), granule), whole.begin);
}

Slice Sharding::holder_part(std::size_t bucket, int holder) const {
  const Slice whole = buckets_.at(bucket);
  const auto h = static_cast<std::size_t>(holder);
  const Slice from = slice_of(whole.size(), holders_.first.at(h), ranks(), granule);
  const Slice to = slice_of(whole.size(), holders_.first.at(h + 1) - 1, ranks(), granule);
  return moved({from.begin, to.end}, whole.begin);
}

std::vector<Slice> Sharding::my_parts() const {
  std::vector<Slice> parts;
  for (std::size_t i = 0; i < below_border_; ++i) parts.push_back(part(i, rank_));
  return parts;
}

std::vector<Slice> Sharding::my_holders_parts(std::size_t buckets) const {
  std::vector<Slice> parts;
  for (std::size_t i = 0; i < buckets; ++i) parts.push_back(holder_part(i, holders_.mine));
  return parts;
}

Slice Sharding::part_of_range(Slice range, int rank) const {
  const Slice share = part(bucket_of(range.begin), rank);
  const std::size_t begin = std::clamp(share.begin, range.begin, range.end);
  return {begin, std::clamp(share.end, begin, range.end)};
}

}  // namespace tessera::comm
