#include "data/draw_plan.hpp"

#include <algorithm>
#include <numeric>
#include <string>

#include "base/error.hpp"

namespace tessera::data {

DrawPlan::DrawPlan(const Dataset& dataset, const LoaderConfig& config) : config_(config) {
  if (config_.global_batch == 0 || config_.global_batch < config_.ranks) {
    throw Error("the batch of " + std::to_string(config_.global_batch) +
                    " samples is smaller than the number of ranks, " + std::to_string(config_.ranks) + ".",
                "data loader", "Raise the batch, or start fewer ranks.");
  }
  if (config_.rank >= config_.ranks) {
    throw Error(
        "rank " + std::to_string(config_.rank) + " of " + std::to_string(config_.ranks) + " does not exist.",
        "data loader", "Number the ranks from 0.");
  }
  make_parts(dataset);
  plan();
  share_ = rank_slice(0, config_.global_batch, config_.rank, config_.ranks);
  const std::uint64_t share = share_.last - share_.first;
  if (config_.micro_batch == 0 || config_.micro_batch > share) config_.micro_batch = share;
  micros_ = static_cast<std::uint32_t>((share + config_.micro_batch - 1) / config_.micro_batch);
}

void DrawPlan::add_part(Grid grid, std::vector<std::uint64_t> shard_records, std::size_t first_shard,
                        const std::vector<std::uint64_t>* shard_first) {
  parts_.push_back({grid, static_cast<std::uint32_t>(first_shard), shard_first,
                    DataOrder(std::move(shard_records), config_.seed, config_.window_shards,
                              static_cast<std::uint32_t>(parts_.size()))});
}

void DrawPlan::make_parts(const Dataset& dataset) {
  const std::size_t resolution = dataset.resolution_index(config_.resolution);
  if (config_.buckets && !config_.mixture.empty()) {
    throw Error(
        "data of several parts cannot be mixed in aspect buckets.", "data loader",
        "Build both with pictures of one shape and set aspect_buckets = false, or train without [data] mix.");
  }
  if (config_.buckets) {
    for (const DatasetBucket& bucket : dataset.buckets()) {
      add_part(bucket.grids[resolution], bucket.shard_records, 0, &bucket.shard_first);
    }
    return;
  }
  const Grid grid = dataset.common_grid(resolution);
  const std::vector<std::uint64_t> all = dataset.shard_records();
  if (config_.mixture.empty()) return add_part(grid, all, 0, nullptr);
  std::size_t first = 0;
  for (const MixturePart& part : config_.mixture) {
    const auto begin = all.begin() + static_cast<std::ptrdiff_t>(first);
    add_part(grid, {begin, begin + static_cast<std::ptrdiff_t>(part.shards)}, first, nullptr);
    first += part.shards;
  }
}

std::size_t DrawPlan::shards_to_hold() const {
  // Aspect buckets keep pace: their windows are cut of the same shards. Parts of a mixture do not.
  std::size_t shards = 0;
  for (const Part& part : parts_) {
    const std::size_t own =
        std::min<std::size_t>(2 * std::size_t{config_.window_shards}, part.order.shards());
    shards = mixed_.empty() ? std::max(shards, own) : shards + own;
  }
  return shards;
}

void DrawPlan::plan_mixture() {
  const std::uint64_t steps = (config_.first_draw - drawn_earlier()) / config_.global_batch;
  const std::vector<std::uint64_t> counts = shared_out(config_.global_batch, config_.mixture);
  std::uint64_t begin = 0;
  for (std::size_t p = 0; p < counts.size(); ++p) {
    std::uint64_t drawn = steps * counts[p];
    for (const EarlierSteps& earlier : config_.earlier) {
      if (earlier.steps > 0) drawn += earlier.steps * shared_out(earlier.global_batch, config_.mixture)[p];
    }
    mixed_.push_back({p, begin, begin + counts[p], drawn});
    begin += counts[p];
  }
}

std::vector<DrawPlan::Piece> DrawPlan::pieces(std::uint64_t step) const {
  if (mixed_.empty()) {
    const PlannedBatch planned = plan_->at(first_planned_ + step);
    return {{planned.bucket, 0, config_.global_batch, planned.first_draw}};
  }
  std::vector<Piece> pieces = mixed_;
  for (Piece& piece : pieces) piece.first_draw += step * (piece.end - piece.begin);
  return pieces;
}

std::uint64_t DrawPlan::drawn_earlier() const {
  std::uint64_t drawn = 0;
  for (const EarlierSteps& earlier : config_.earlier) drawn += earlier.global_batch * earlier.steps;
  if (drawn <= config_.first_draw) return drawn;
  throw Error("the stages before this one drew " + std::to_string(drawn) +
                  " samples by their batches and steps, but the run drew only " +
                  std::to_string(config_.first_draw) + ".",
              "data loader", "Give finished stages the batch and the steps that they had when they ran.");
}

void DrawPlan::plan() {
  if (!config_.mixture.empty()) return plan_mixture();
  std::vector<std::uint64_t> records;
  for (const Part& part : parts_) {
    records.push_back(part.order.records());
  }
  if (!config_.buckets) {
    // One sequence of draws: it goes on where it was, whatever the size of batches so far.
    plan_.emplace(records, config_.seed, config_.global_batch, std::vector{config_.first_draw});
    return;
  }
  const std::uint64_t drawn = drawn_earlier();
  std::vector<std::uint64_t> taken;
  for (const EarlierSteps& earlier : config_.earlier) {
    if (earlier.steps == 0) continue;
    taken = BatchPlan(records, config_.seed, earlier.global_batch, taken).taken_before(earlier.steps);
  }
  plan_.emplace(records, config_.seed, config_.global_batch, taken);
  first_planned_ = (config_.first_draw - drawn) / config_.global_batch;
}

void DrawPlan::find(std::uint64_t task, MicroDraws& found) {
  const std::uint64_t steps = task / micros_;
  const std::vector<Piece> pieces = this->pieces(steps);
  found.step = config_.first_step + steps;
  found.micro = static_cast<std::uint32_t>(task % micros_);
  found.position = share_.first + found.micro * config_.micro_batch;
  const std::uint64_t end = std::min(found.position + config_.micro_batch, share_.last);
  found.bucket = static_cast<std::uint32_t>(mixed_.empty() ? pieces.front().part : 0);
  found.grid = parts_[pieces.front().part].grid;  // in shape all parts of a mixture are alike
  found.draws.clear();
  found.weights.clear();
  for (std::uint64_t position = found.position; position < end; ++position) {
    const auto piece = std::ranges::find_if(pieces, [&](const Piece& p) { return position < p.end; });
    Part& part = parts_[piece->part];
    found.draws.push_back(in_dataset(part, part.order.at(piece->first_draw + position - piece->begin)));
    found.weights.push_back(mixed_.empty() ? 1.0 : config_.mixture[piece->part].weight);
  }
}

Draw DrawPlan::in_dataset(const Part& part, Draw draw) {
  draw.shard += part.first_shard;
  if (part.shard_first != nullptr) draw.record += (*part.shard_first)[draw.shard];
  return draw;
}

Draw DrawPlan::replacement(const MicroDraws& micro, std::size_t sample, std::uint32_t attempt) const {
  const std::uint64_t position = micro.position + sample;
  const std::vector<Piece> pieces = this->pieces(micro.step - config_.first_step);
  const auto piece = std::ranges::find_if(pieces, [&](const Piece& p) { return position < p.end; });
  const Part& part = parts_[piece->part];
  const RandomStream stream(RandomKey{.seed = config_.seed,
                                      .purpose = Purpose::replacement,
                                      .stage = static_cast<std::uint32_t>(piece->part),
                                      .step = piece->first_draw + position - piece->begin});
  Draw draw = in_dataset(part, part.order.record(random_below(stream, attempt, 0, part.order.records())));
  draw.epoch = micro.draws[sample].epoch;
  return draw;
}

}  // namespace tessera::data
