#include "data/loader.hpp"

#include <pthread.h>

#include <algorithm>
#include <csignal>

#include "base/activity.hpp"
#include "base/timeline.hpp"
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
    : dataset_(std::move(dataset)),
      config_(config),
      resolution_(dataset_->resolution_index(config.resolution)),
      plan_(*dataset_, config) {
  if (config_.controls && dataset_->header().control.empty()) {
    throw Error("the data has no control maps.", dataset_->path(0),
                "Build it with `tessera data build ... --control NAME`.");
  }
  dataset_->make_room(plan_.shards_to_hold());
  slots_.resize(std::max(config_.prefetch, 2U));

  // Signals stay with the main thread, where the run reacts to them: threads inherit the mask.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  for (std::uint32_t i = 0; i < std::max(config_.threads, 1U); ++i)
    threads_.emplace_back([this, i] { work(static_cast<int>(i) + 1); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

Loader::~Loader() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  freed_.notify_all();
  for (std::thread& thread : threads_) thread.join();
  dataset_->close_shards();  // the next stage may read other data
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

void Loader::work(int lane) {
  DrawPlan plan = plan_;
  for (;;) {
    std::unique_lock lock(mutex_);
    freed_.wait(lock, [&] { return stop_ || next_task_ < released_ + slots_.size(); });
    if (stop_) return;
    const std::uint64_t task = next_task_++;
    Slot& slot = slots_[task % slots_.size()];
    lock.unlock();
    std::exception_ptr error;
    try {
      const TimelineSpan span("read micro-batch", static_cast<std::int64_t>(task), lane);
      fill(slot.batch, task, plan);
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

void Loader::fill(HostBatch& batch, std::uint64_t task, DrawPlan& plan) const {
  thread_local MicroDraws micro;
  plan.find(task, micro);
  const ShardHeader& header = dataset_->header();
  const std::size_t n = micro.draws.size();
  batch.step = micro.step;
  batch.micro = micro.micro;
  batch.micros = plan.micro_batches();
  batch.position = micro.position;
  batch.samples = n;
  batch.channels = header.channels;
  batch.grid = micro.grid;
  batch.bucket = micro.bucket;
  batch.ratio = key_ratio(batch.grid.height, batch.grid.width);
  batch.picture_height = batch.grid.height * config_.downsampling;
  batch.picture_width = batch.grid.width * config_.downsampling;
  batch.caption_length = header.caption_length;
  batch.caption_width = header.caption_width;
  batch.draws = micro.draws;
  batch.weight = micro.weights;
  const std::size_t features = std::size_t{header.caption_length} * header.caption_width;
  batch.latents.resize(n * header.channels * batch.grid.height * batch.grid.width);
  batch.controls.resize(config_.controls ? batch.latents.size() : 0);
  batch.captions.resize(config_.half_captions ? 0 : n * features);
  batch.half_captions.resize(config_.half_captions ? n * features : 0);
  for (auto* list : {&batch.len_real, &batch.group, &batch.subgroup, &batch.width, &batch.height})
    list->resize(n);
  batch.drop_caption.resize(n);
  batch.damages.clear();
  for (std::size_t i = 0; i < n; ++i) fill_whole_sample(batch, i, micro, plan);
}

void Loader::fill_whole_sample(HostBatch& batch, std::size_t i, const MicroDraws& micro,
                               const DrawPlan& plan) const {
  if (!config_.replace_damaged) return fill_sample(batch, i);
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
    batch.draws[i] = plan.replacement(micro, i, attempt);
  }
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
