#include "data/loader.hpp"

#include <pthread.h>

#include <algorithm>
#include <csignal>
#include <numeric>

#include "base/activity.hpp"
#include "data/aspect_buckets.hpp"
#include "data/half.hpp"

namespace tessera::data {
namespace {

// Even where most records are damaged, a sample finds one that is whole.
constexpr std::uint32_t most_replacements = 100;

RandomStream stream_of(const LoaderConfig& config, Purpose purpose, std::uint64_t step) {
  return RandomStream(RandomKey{.seed = config.seed,
                                .purpose = purpose,
                                .stage = config.stage,
                                .attempt = config.attempt,
                                .step = step});
}

// In place: [2, C, h, w] (mean, standard deviation) to one draw [C, h, w] in its first half. The first
// element's number tells apart the draws of one position.
void draw_from_posterior(const RandomStream& stream, std::uint64_t position, std::uint64_t first,
                         std::vector<float>& values) {
  const std::size_t count = values.size() / 2;
  thread_local std::vector<float> noise;
  noise.resize(count);
  fill_normal(stream, position, first, noise.data(), count);
  for (std::size_t i = 0; i < count; ++i) values[i] += values[count + i] * noise[i];
}

}  // namespace

Loader::Loader(std::shared_ptr<const Dataset> dataset, const LoaderConfig& config)
    : dataset_(std::move(dataset)), config_(config) {
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
  if (config_.controls && dataset_->header().control.empty()) {
    throw Error("the data has no control maps.", dataset_->layout(0).path,
                "Build it with `tessera data build ... --control NAME`.");
  }
  resolution_ = dataset_->resolution_index(config_.resolution);
  parts_ = parts();
  plan();
  share_ = rank_slice(0, config_.global_batch, config_.rank, config_.ranks);
  const std::uint64_t share = share_.last - share_.first;
  if (config_.micro_batch == 0 || config_.micro_batch > share) config_.micro_batch = share;
  micros_ = static_cast<std::uint32_t>((share + config_.micro_batch - 1) / config_.micro_batch);
  slots_.resize(std::max(config_.prefetch, 2U));

  // Signals stay with the main thread, where the run reacts to them: threads inherit the mask.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  for (std::uint32_t i = 0; i < std::max(config_.threads, 1U); ++i) threads_.emplace_back([this] { work(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

std::vector<Loader::Part> Loader::parts() const {
  if (!config_.mixture.empty()) return parts_of_mixture();
  if (!config_.buckets) {
    return {{dataset_->common_grid(resolution_), dataset_->shard_records(),
             std::vector<std::uint64_t>(dataset_->shards())}};
  }
  std::vector<Part> parts;
  for (const DatasetBucket& bucket : dataset_->buckets()) {
    parts.push_back({bucket.grids[resolution_], bucket.shard_records, bucket.shard_first});
  }
  return parts;
}

std::vector<Loader::Part> Loader::parts_of_mixture() const {
  if (config_.buckets) {
    throw Error(
        "data of several parts cannot be mixed in aspect buckets.", "data loader",
        "Build both with pictures of one shape and set aspect_buckets = false, or train without [data] mix.");
  }
  const Grid grid = dataset_->common_grid(resolution_);
  const std::vector<std::uint64_t> all = dataset_->shard_records();
  std::vector<Part> parts;
  std::size_t first = 0;
  for (const MixturePart& part : config_.mixture) {
    std::vector<std::uint64_t> records(all.size());
    std::copy_n(all.begin() + static_cast<std::ptrdiff_t>(first), part.shards,
                records.begin() + static_cast<std::ptrdiff_t>(first));
    first += part.shards;
    parts.push_back({grid, std::move(records), std::vector<std::uint64_t>(all.size())});
  }
  return parts;
}

void Loader::plan_mixture() {
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

std::vector<Loader::Piece> Loader::pieces(std::uint64_t step) const {
  if (mixed_.empty()) {
    const PlannedBatch planned = plan_->at(first_planned_ + step);
    return {{planned.bucket, 0, config_.global_batch, planned.first_draw}};
  }
  std::vector<Piece> pieces = mixed_;
  for (Piece& piece : pieces) piece.first_draw += step * (piece.end - piece.begin);
  return pieces;
}

std::uint64_t Loader::drawn_earlier() const {
  std::uint64_t drawn = 0;
  for (const EarlierSteps& earlier : config_.earlier) drawn += earlier.global_batch * earlier.steps;
  if (drawn <= config_.first_draw) return drawn;
  throw Error("the stages before this one drew " + std::to_string(drawn) +
                  " samples by their batches and steps, but the run drew only " +
                  std::to_string(config_.first_draw) + ".",
              "data loader", "Give finished stages the batch and the steps that they had when they ran.");
}

void Loader::plan() {
  if (!config_.mixture.empty()) return plan_mixture();
  std::vector<std::uint64_t> records;
  for (const Part& part : parts_) {
    records.push_back(
        std::accumulate(part.shard_records.begin(), part.shard_records.end(), std::uint64_t{0}));
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

std::vector<DataOrder> Loader::orders() const {
  std::vector<DataOrder> orders;
  for (const Part& part : parts_) {
    orders.emplace_back(part.shard_records, config_.seed, config_.window_shards,
                        static_cast<std::uint32_t>(orders.size()));
  }
  return orders;
}

Loader::~Loader() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  freed_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

const HostBatch& Loader::next() {
  std::unique_lock lock(mutex_);
  if (released_ < returned_) {
    slots_[released_ % slots_.size()].ready = false;
    ++released_;
    freed_.notify_one();
  }
  Slot& slot = slots_[returned_ % slots_.size()];
  {
    const Doing doing("the data loader");
    filled_.wait(lock, [&] { return slot.ready; });
  }
  if (slot.error) std::rethrow_exception(slot.error);  // and again on every later call
  ++returned_;
  return slot.batch;
}

void Loader::work() {
  std::vector<DataOrder> orders = this->orders();
  for (;;) {
    std::unique_lock lock(mutex_);
    freed_.wait(lock, [&] { return stop_ || next_task_ < released_ + slots_.size(); });
    if (stop_) return;
    const std::uint64_t task = next_task_++;
    Slot& slot = slots_[task % slots_.size()];
    lock.unlock();
    std::exception_ptr error;
    try {
      fill(slot.batch, task, orders);
    } catch (...) {
      error = std::current_exception();
    }
    lock.lock();
    slot.error = error;
    slot.ready = true;
    filled_.notify_one();
    if (error) return;  // the run ends when the caller gets there
  }
}

void Loader::fill(HostBatch& batch, std::uint64_t task, std::vector<DataOrder>& orders) const {
  const std::uint64_t steps = task / micros_;
  const std::vector<Piece> pieces = this->pieces(steps);
  const Part& part = parts_[pieces.front().part];  // in shape all parts of a mixture are alike
  const ShardHeader& header = dataset_->header();
  batch.step = config_.first_step + steps;
  batch.micro = static_cast<std::uint32_t>(task % micros_);
  batch.micros = micros_;
  batch.position = share_.first + batch.micro * config_.micro_batch;
  const std::uint64_t end = std::min(batch.position + config_.micro_batch, share_.last);
  const auto n = static_cast<std::size_t>(end - batch.position);
  batch.samples = n;
  batch.channels = header.channels;
  batch.grid = part.grid;
  batch.bucket = static_cast<std::uint32_t>(mixed_.empty() ? pieces.front().part : 0);
  batch.ratio = key_ratio(part.grid.height, part.grid.width);
  batch.picture_height = part.grid.height * config_.downsampling;
  batch.picture_width = part.grid.width * config_.downsampling;
  batch.caption_length = header.caption_length;
  batch.caption_width = header.caption_width;
  const std::size_t features = std::size_t{header.caption_length} * header.caption_width;
  batch.latents.resize(n * header.channels * part.grid.height * part.grid.width);
  batch.controls.resize(config_.controls ? batch.latents.size() : 0);
  batch.captions.resize(config_.half_captions ? 0 : n * features);
  batch.half_captions.resize(config_.half_captions ? n * features : 0);
  for (auto* list : {&batch.len_real, &batch.group, &batch.subgroup, &batch.width, &batch.height})
    list->resize(n);
  batch.drop_caption.resize(n);
  batch.draws.resize(n);
  batch.weight.assign(n, 1.0);
  batch.damages.clear();
  for (std::size_t i = 0; i < n; ++i) {
    const std::uint64_t position = batch.position + i;
    const auto piece = std::ranges::find_if(pieces, [&](const Piece& p) { return position < p.end; });
    Draw& draw = batch.draws[i];
    const std::uint64_t number = piece->first_draw + position - piece->begin;
    draw = orders[piece->part].at(number);
    draw.record += parts_[piece->part].shard_first[draw.shard];
    if (!mixed_.empty()) batch.weight[i] = config_.mixture[piece->part].weight;
    fill_whole_sample(batch, i, piece->part, number);
  }
}

void Loader::fill_whole_sample(HostBatch& batch, std::size_t i, std::size_t part,
                               std::uint64_t number) const {
  if (!config_.replace_damaged) return fill_sample(batch, i);
  const std::uint64_t epoch = batch.draws[i].epoch;
  for (std::uint32_t attempt = 0;; ++attempt) {
    try {
      return fill_sample(batch, i);
    } catch (const Error& error) {
      if (attempt == most_replacements) throw;
      const Draw& draw = batch.draws[i];
      if (attempt == 0) {
        batch.damages.push_back(dataset_->layout(draw.shard).path + ", record " +
                                std::to_string(draw.record) + ": " + error.summary());
      }
    }
    batch.draws[i] = replacement(part, number, epoch, attempt);
  }
}

Draw Loader::replacement(std::size_t part, std::uint64_t number, std::uint64_t epoch,
                         std::uint32_t attempt) const {
  const Part& from = parts_[part];
  const std::uint64_t records =
      std::accumulate(from.shard_records.begin(), from.shard_records.end(), std::uint64_t{0});
  const RandomStream stream(RandomKey{.seed = config_.seed,
                                      .purpose = Purpose::replacement,
                                      .stage = static_cast<std::uint32_t>(part),
                                      .step = number});
  std::uint64_t record = random_below(stream, attempt, 0, records);
  std::uint32_t shard = 0;
  while (record >= from.shard_records[shard]) record -= from.shard_records[shard++];
  return {epoch, shard, record + from.shard_first[shard]};
}

void Loader::fill_sample(HostBatch& batch, std::size_t i) const {
  const Draw& draw = batch.draws[i];
  const std::shared_ptr<const ShardReader> shard = dataset_->reader(draw.shard);
  const RecordInfo info = shard->info(draw.record);
  batch.group[i] = info.group;
  batch.subgroup[i] = info.subgroup;
  batch.width[i] = info.width;
  batch.height[i] = info.height;
  fill_latent(batch, i, *shard, false, batch.latents);
  if (config_.controls) fill_latent(batch, i, *shard, true, batch.controls);
  fill_caption(batch, i, *shard);
}

void Loader::fill_latent(const HostBatch& batch, std::size_t i, const ShardReader& shard, bool control,
                         std::vector<float>& all) const {
  const std::size_t values = all.size() / batch.samples;
  float* const to = all.data() + i * values;
  const auto read = [&](float* memory) {
    const std::uint64_t record = batch.draws[i].record;
    control ? shard.read_control(record, resolution_, memory, config_.verify)
            : shard.read_latent(record, resolution_, memory, config_.verify);
  };
  if (dataset_->header().latent == LatentKind::sample) return read(to);
  thread_local std::vector<float> posterior;
  posterior.resize(2 * values);
  read(posterior.data());
  draw_from_posterior(stream_of(config_, Purpose::latent, batch.step), batch.position + i,
                      control ? std::uint64_t{1} << 32 : 0, posterior);
  std::copy_n(posterior.data(), values, to);
}

void Loader::fill_caption(HostBatch& batch, std::size_t i, const ShardReader& shard) const {
  const Draw& draw = batch.draws[i];
  const RandomStream stream = stream_of(config_, Purpose::caption_drop, batch.step);
  const std::uint64_t position = batch.position + i;
  batch.drop_caption[i] = uniform01_double(stream, position, 0) < config_.caption_drop ? 1 : 0;
  batch.len_real[i] = 0;
  const std::uint32_t variants = shard.info(draw.record).captions;
  const std::size_t features = std::size_t{batch.caption_length} * batch.caption_width;
  if (variants == 0 || features == 0) return;
  const auto chosen = static_cast<std::uint32_t>(random_below(stream, position, 1, variants));
  if (config_.half_captions) {
    std::uint16_t* to = batch.half_captions.data() + i * features;
    batch.len_real[i] =
        static_cast<std::int32_t>(shard.read_caption(draw.record, chosen, to, config_.verify));
    return;
  }
  thread_local std::vector<std::uint16_t> halves;
  halves.resize(features);
  batch.len_real[i] =
      static_cast<std::int32_t>(shard.read_caption(draw.record, chosen, halves.data(), config_.verify));
  float_from_half(halves.data(), batch.captions.data() + i * features, features);
}

}  // namespace tessera::data
