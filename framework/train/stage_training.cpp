#include "train/stage_training.hpp"

#include <algorithm>
#include <cmath>

#include "base/activity.hpp"
#include "base/log.hpp"
#include "base/timeline.hpp"
#include "io/file.hpp"
#include "train/data_position.hpp"
#include "train/stage_checks.hpp"

namespace tessera::train {
namespace {

data::LoaderConfig loading(const RunConfig& config, const StageSettings& stage,
                           const RunComponents& components, const data::Dataset& dataset,
                           const checkpoint::RunState& state, const comm::Communicator& world) {
  DataPosition position = data_position(config, state);
  return {.resolution = stage.resolution,
          .buckets = stage.aspect_buckets,
          .global_batch = static_cast<std::uint64_t>(stage.batch),
          .micro_batch = static_cast<std::uint64_t>(stage.micro_batch),
          .rank = static_cast<std::uint64_t>(world.rank()),
          .ranks = static_cast<std::uint64_t>(world.size()),
          .seed = config.run.seed,
          .stage = static_cast<std::uint32_t>(state.stage),
          .attempt = static_cast<std::uint32_t>(state.attempt),
          .first_step = static_cast<std::uint64_t>(state.stage_step),
          .first_draw = position.draws,
          .earlier = std::move(position.earlier),
          .mixture = mixture_of(stage.data, dataset),
          .downsampling = static_cast<std::uint32_t>(components.codec().downsampling()),
          .caption_drop = stage.data.caption_drop,
          .controls = components.reads_control(),
          .replace_damaged = stage.data.replace_damaged,
          .window_shards = static_cast<std::uint32_t>(stage.data.window_shards),
          .prefetch = static_cast<std::uint32_t>(stage.data.prefetch),
          .threads = static_cast<std::uint32_t>(stage.data.workers)};
}

}  // namespace

StageTraining::StageTraining(const RunConfig& config, std::size_t stage, RunComponents components,
                             const comm::Communicator& world)
    : config_(config),
      index_(stage),
      settings_(config.stages.at(stage)),
      world_(world),
      components_(std::move(components)),
      model_(components_.backbone(), nn::Precision::named(config.run.precision), config.optimizer,
             settings_.ema_smoothing > 0, config.run.seed, world, config.run.shard) {
  components_.backbone().set_positions(positions_of(settings_, components_));
}

StageTraining::StageTraining(const RunConfig& config, std::size_t stage, RunComponents components,
                             const StageTraining& before, const comm::Communicator& world)
    : config_(config),
      index_(stage),
      settings_(config.stages.at(stage)),
      world_(world),
      components_(std::move(components)),
      model_(components_.backbone(), before.model_, config.optimizer, settings_.ema_smoothing > 0) {
  components_.backbone().set_positions(positions_of(settings_, components_));
}

StageTraining::Outcome StageTraining::run(const std::shared_ptr<const data::Dataset>& dataset,
                                          RunRecord& record) {
  const Doing doing("stage '" + settings_.name + "'");
  checkpoint::RunState& state = record.state();
  const StageModel model{settings_, components_, model_};
  if (state.stage_step == 0) begin(*dataset, record);
  if (state.stage_step < settings_.steps) {
    data::Loader loader(dataset, loading(config_, settings_, components_, *dataset, state, world_));
    GradientStep gradient(components_, model_, settings_, loader);
    while (state.stage_step < settings_.steps) {
      const StepReport report = step(gradient, record);
      if (goes_back_) return Outcome::goes_back;
      const bool last = state.stage_step == settings_.steps;
      record.after_step(report, model, last, asked_);
      if (!asked_.stop() || last) continue;
      record.say("Stopping early with a checkpoint, for " + asked_.reasons() + "; go on with --resume.");
      return Outcome::stopped;
    }
  }
  record.save(model);
  return Outcome::finished;
}

void StageTraining::begin(const data::Dataset& dataset, RunRecord& record) {
  world_.barrier();
  const std::int64_t frozen = model_.store().frozen_parameters();
  record.say("Stage '" + settings_.name + "': " + std::to_string(settings_.steps) + " steps of " +
             std::to_string(settings_.batch) + " pictures at " + std::to_string(settings_.resolution) +
             " px, of " + std::to_string(dataset.records()) + " in " + std::to_string(dataset.shards()) +
             " shards; " + std::to_string(model_.store().trainable_parameters()) + " parameters" +
             (frozen > 0 ? " and " + std::to_string(frozen) + " frozen ones." : "."));
  if (const comm::Sharding* sharding = model_.sharding()) {
    std::string held;
    for (const auto& [arena, bytes] : model_.held_bytes()) {
      held += (held.empty() ? "" : ", ") + arena + " " + io::readable_bytes(bytes);
    }
    record.say("Sharded over " + std::to_string(sharding->holders().count()) +
               " memories; the first has, and its first rank of gradients: " + held + ".");
  }
}

double StageTraining::exchange(double part, const std::vector<std::string>& damages, RunRecord& record) {
  // One exchange for the loss, what the ranks are asked for and what they have to say. Each sum of a loss has
  // one term that is not zero, so it is exact, and the terms are then added in rank order.
  const auto ranks = static_cast<std::size_t>(world_.size());
  const RequestSet mine = record.requests();
  std::vector<double> exchanged(ranks + RequestSet::kinds + 1, 0.0);
  exchanged[static_cast<std::size_t>(world_.rank())] = part;
  for (std::size_t i = 0; i < RequestSet::kinds; ++i) {
    exchanged[ranks + i] = mine.has(static_cast<Request>(i)) ? 1.0 : 0.0;
  }
  exchanged.back() = static_cast<double>(damages.size());
  {
    const Doing doing("sum of the losses");
    world_.all_reduce(std::span(exchanged));
  }
  asked_ = {};
  for (std::size_t i = 0; i < RequestSet::kinds; ++i) {
    if (exchanged[ranks + i] > 0) asked_.add(static_cast<Request>(i));
  }
  for (const std::string& damage : damages) log_warning("Another record takes the place of " + damage);
  std::int64_t& damaged = record.state().faults.damaged_records;
  damaged += static_cast<std::int64_t>(exchanged.back());
  if (exchanged.back() > 0 && damaged > settings_.data.damaged_limit) {
    const std::vector<std::string> all = world_.gather(damages.empty() ? "" : damages.back());
    throw Error(
        std::to_string(damaged) + " records were damaged up to step " +
            std::to_string(record.state().global_step + 1) + ", more than [data] damaged_limit = " +
            std::to_string(settings_.data.damaged_limit) + " allows; one of them: " +
            *std::ranges::find_if(all, [](const std::string& text) { return !text.empty(); }),
        "training",
        "Copy the shards again from where they were made, or raise damaged_limit, and go on with --resume.");
  }
  double loss = 0;
  for (std::size_t r = 0; r < ranks; ++r) loss += exchanged[r];
  return loss;
}

StepReport StageTraining::step(GradientStep& gradient, RunRecord& record) {
  checkpoint::RunState& state = record.state();
  set_activity_step(state.global_step + 1);
  const TimelineSpan whole("step", state.global_step);
  const double part = gradient.run({.seed = config_.run.seed,
                                    .stage = static_cast<std::uint32_t>(state.stage),
                                    .attempt = static_cast<std::uint32_t>(state.attempt),
                                    .step = static_cast<std::uint64_t>(state.stage_step)});
  comm::SummedGradients& gradients = model_.sums();
  TimelineSpan sums("finish sums");
  gradients.finish();
  sums.end();
  TimelineSpan agreement("loss and norm");
  const double loss = exchange(part, gradient.damages(), record);
  const double norm = std::sqrt(gradients.sum_of_squares());
  agreement.end();
  TimelineSpan update("optimizer");
  const double rate = learning_rate(settings_.learning_rate, state.stage_step);
  const StepFault fault = step_fault(config_.run.faults, state.faults, loss, norm);
  const bool taken = fault.none();
  double clip = taken ? 1 : 0;
  if (taken) {
    count_taken(state.faults, norm);
    const bool averaging = settings_.ema_smoothing > 0;
    if (averaging && !model_.average_active() && state.stage_step >= settings_.ema_start)
      model_.start_average();
    if (settings_.clip_norm > 0) clip = std::min(1.0, settings_.clip_norm / (norm + 1e-6));
    model_.update({.learning_rate = rate,
                   .gradient_scale = clip,
                   .average_smoothing = model_.average_active() ? settings_.ema_smoothing : 1.0});
  } else {
    refuse(fault, record);
  }
  update.end();
  {
    const TimelineSpan span("publish");
    gradients.publish();
  }

  ++state.stage_step;
  ++state.global_step;
  state.samples_seen += settings_.batch;
  if (taken) {
    state.loss_sum += loss;
    ++state.loss_steps;
  }
  return {.step = state.global_step,
          .stage = settings_.name,
          .loss = taken ? loss : 0,
          .learning_rate = rate,
          .gradient_norm = norm,
          .clip = clip,
          .images = settings_.batch,
          .attempt = state.attempt,
          .skipped = state.faults.skipped_steps,
          .damaged = state.faults.damaged_records};
}

void StageTraining::refuse(const StepFault& fault, RunRecord& record) {
  const FaultSettings& settings = config_.run.faults;
  checkpoint::FaultCounters& counters = record.state().faults;
  const std::string step =
      "step " + std::to_string(record.state().global_step + 1) + " (stage '" + settings_.name + "')";
  const auto last_good = [&] {
    const std::string newest = record.newest_checkpoint();
    return newest.empty() ? "" : " The last good checkpoint is " + newest + ".";
  };
  if (!fault.finite && settings.non_finite == NonFinite::stop) {
    record.settle();
    throw Error(
        step + " cannot count: " + fault.why + "." + last_good(), "training",
        "Lower learning_rate or clip_norm, or set [run] non_finite = \"skip\", and go on with --resume.");
  }
  record.say(step + " is left out: " + fault.why + ".");
  if (!count_skipped(settings, counters, record.state().global_step + 1)) return;
  record.settle();
  if (counters.rollbacks >= settings.rollbacks) {
    throw Error(std::to_string(counters.recent_skips.size()) + " of the last " +
                    std::to_string(settings.skip_window) + " steps before " + step +
                    " had to be left out, the last because " + fault.why + ", after the run had gone back " +
                    std::to_string(counters.rollbacks) + " times." + last_good(),
                "training",
                "Lower learning_rate or clip_norm, or raise [run] rollbacks, and go on with --resume.");
  }
  record.say(std::to_string(counters.recent_skips.size()) + " of the last " +
             std::to_string(settings.skip_window) + " steps were left out: the run goes back.");
  goes_back_ = true;
}

}  // namespace tessera::train
