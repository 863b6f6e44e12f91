#include "data/batch_plan.hpp"

#include <numeric>
#include <utility>

#include "base/error.hpp"

namespace tessera::data {
namespace {

constexpr std::uint64_t kPlaces = std::uint64_t{1} << 32;  // of an epoch
// DataOrder's positions in the same stream lie below this one.
constexpr std::uint64_t kPositions = std::uint64_t{1} << 63;

// The places of one bucket's batches in an epoch.
class Places {
 public:
  Places(const RandomStream& stream, std::size_t bucket, std::uint64_t batches)
      : stream_(stream), bucket_(bucket), batches_(batches) {}

  /// Batches at places below `place`, which is at most kPlaces.
  [[nodiscard]] std::uint64_t before(std::uint64_t place) const {
    if (batches_ == 0 || place == 0) return 0;
    if (place == kPlaces) return batches_;
    // the last part that begins at `place` or before: part i begins at floor(i kPlaces / batches)
    const std::uint64_t part = ((place + 1) * batches_ - 1) / kPlaces;
    const std::uint64_t begin = part * kPlaces / batches_;
    const std::uint64_t width = (part + 1) * kPlaces / batches_ - begin;
    const std::uint64_t at = begin + random_below(stream_, kPositions + bucket_, part, width);
    return part + (at < place ? 1 : 0);
  }

 private:
  RandomStream stream_;
  std::size_t bucket_;
  std::uint64_t batches_;
};

}  // namespace

struct BatchPlan::Place {
  std::size_t bucket;                  // of the step's batch
  std::vector<std::uint64_t> batches;  // of every bucket before the step
};

BatchPlan::BatchPlan(std::vector<std::uint64_t> records, std::uint64_t seed, std::uint64_t batch,
                     std::vector<std::uint64_t> taken)
    : records_(std::move(records)), taken_(std::move(taken)), seed_(seed), batch_(batch) {
  taken_.resize(records_.size());
  const std::uint64_t all = std::accumulate(records_.begin(), records_.end(), std::uint64_t{0});
  if (all == 0) throw Error("the data set holds no record.", "data", "Name a data set with pictures.");
  if (batch_ == 0 || all / batch_ >= kPlaces / 2) {
    throw Error("batches of " + std::to_string(batch_) + " samples cannot be made of " + std::to_string(all) +
                    " records.",
                "data", "Raise the batch.");
  }
}

std::uint64_t BatchPlan::batches(std::size_t bucket, std::uint64_t epochs) const {
  const std::uint64_t queued = epochs * records_[bucket];
  return queued > taken_[bucket] ? (queued - taken_[bucket]) / batch_ : 0;
}

std::uint64_t BatchPlan::steps_of_epochs(std::uint64_t epochs) const {
  std::uint64_t steps = 0;
  for (std::size_t b = 0; b < records_.size(); ++b) steps += batches(b, epochs);
  return steps;
}

BatchPlan::Place BatchPlan::find(std::uint64_t step) const {
  // Past all draws up to this step and a whole batch left in every queue, the step is surely over.
  const std::uint64_t all = std::accumulate(records_.begin(), records_.end(), std::uint64_t{0});
  const std::uint64_t earlier = std::accumulate(taken_.begin(), taken_.end(), std::uint64_t{0});
  std::uint64_t epoch = 1, last = (earlier + (step + 1 + records_.size()) * batch_) / all + 1;
  while (epoch < last) {
    const std::uint64_t middle = epoch + (last - epoch) / 2;
    if (steps_of_epochs(middle) > step) {
      last = middle;
    } else {
      epoch = middle + 1;
    }
  }
  // DataOrder counts epochs from 0
  const RandomStream stream(RandomKey{.seed = seed_, .purpose = Purpose::data_order, .step = epoch - 1});
  Place found{0, {}};
  std::vector<Places> places;
  for (std::size_t b = 0; b < records_.size(); ++b) {
    found.batches.push_back(batches(b, epoch - 1));
    places.emplace_back(stream, b, batches(b, epoch) - found.batches.back());
  }
  const std::uint64_t in_epoch = step - steps_of_epochs(epoch - 1);
  const auto before = [&](std::uint64_t place) {
    std::uint64_t sum = 0;
    for (const Places& bucket : places) sum += bucket.before(place);
    return sum;
  };
  std::uint64_t low = 0, high = kPlaces - 1;  // the first place with more than in_epoch batches up to it
  while (low < high) {
    const std::uint64_t middle = low + (high - low) / 2;
    if (before(middle + 1) > in_epoch) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  // Buckets that share the place go in their order.
  std::uint64_t waiting = in_epoch - before(low);
  found.bucket = records_.size();
  for (std::size_t b = 0; b < places.size(); ++b) {
    const std::uint64_t count = places[b].before(low);
    found.batches[b] += count;
    if (found.bucket != records_.size() || places[b].before(low + 1) == count) continue;
    if (waiting == 0) {
      found.bucket = b;
    } else {
      --waiting;
      ++found.batches[b];
    }
  }
  return found;
}

PlannedBatch BatchPlan::at(std::uint64_t step) const {
  const Place place = find(step);
  return {place.bucket, taken_[place.bucket] + place.batches[place.bucket] * batch_};
}

std::vector<std::uint64_t> BatchPlan::taken_before(std::uint64_t step) const {
  const Place place = find(step);
  std::vector<std::uint64_t> taken = taken_;
  for (std::size_t b = 0; b < taken.size(); ++b) taken[b] += place.batches[b] * batch_;
  return taken;
}

}  // namespace tessera::data
