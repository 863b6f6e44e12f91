#include "train/stage_training.hpp"

#include <algorithm>
#include <cmath>

#include "base/timeline.hpp"
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
             settings_.ema_smoothing > 0, config.run.seed, world) {
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
  checkpoint::RunState& state = record.state();
  const StageModel model{settings_, components_, model_};
  if (state.stage_step == 0) begin(*dataset, record);
  if (state.stage_step < settings_.steps) {
    data::Loader loader(dataset, loading(config_, settings_, components_, *dataset, state, world_));
    GradientStep gradient(components_, model_, settings_, loader);
    while (state.stage_step < settings_.steps) {
      const StepReport report = step(gradient, record);
      const bool last = state.stage_step == settings_.steps;
      record.after_step(report, model, last, stop_agreed_);
      if (!stop_agreed_ || last) continue;
      record.say("Stopping early with a checkpoint; go on with --resume.");
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
}

double StageTraining::exchange(double part, const RunRecord& record) {
  // One exchange for the loss and the wish to stop. Each sum has one term that is not zero, so it is exact,
  // and the terms are then added in rank order.
  std::vector<double> exchanged(static_cast<std::size_t>(world_.size()) + 1, 0.0);
  exchanged[static_cast<std::size_t>(world_.rank())] = part;
  exchanged.back() = record.wants_to_stop() ? 1.0 : 0.0;
  world_.all_reduce(std::span(exchanged));
  stop_agreed_ = exchanged.back() > 0;
  double loss = 0;
  for (std::size_t r = 0; r + 1 < exchanged.size(); ++r) loss += exchanged[r];
  return loss;
}

StepReport StageTraining::step(GradientStep& gradient, RunRecord& record) {
  checkpoint::RunState& state = record.state();
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
  const double loss = exchange(part, record);
  const double norm = std::sqrt(gradients.sum_of_squares());
  agreement.end();
  TimelineSpan update("optimizer");
  const double rate = learning_rate(settings_.learning_rate, state.stage_step);
  const bool finite = std::isfinite(loss) && std::isfinite(norm);
  double clip = finite ? 1 : 0;
  if (finite) {
    const bool averaging = settings_.ema_smoothing > 0;
    if (averaging && !model_.average_active() && state.stage_step >= settings_.ema_start)
      model_.start_average();
    if (settings_.clip_norm > 0) clip = std::min(1.0, settings_.clip_norm / (norm + 1e-6));
    model_.optimizer().update({.learning_rate = rate,
                               .gradient_scale = clip,
                               .average_smoothing = model_.average_active() ? settings_.ema_smoothing : 1.0},
                              static_cast<std::int64_t>(gradients.my_slice().begin),
                              static_cast<std::int64_t>(gradients.my_slice().end));
  } else {
    refuse(std::isfinite(loss), record);
  }
  update.end();
  {
    const TimelineSpan span("publish");
    gradients.publish();
  }

  ++state.stage_step;
  ++state.global_step;
  state.samples_seen += settings_.batch;
  if (finite) {
    state.loss_sum += loss;
    ++state.loss_steps;
  }
  return {state.global_step, settings_.name, finite ? loss : 0, rate, norm, clip, settings_.batch};
}

void StageTraining::refuse(bool finite_loss, RunRecord& record) const {
  const std::string step = std::to_string(record.state().global_step + 1);
  if (config_.run.non_finite == NonFinite::skip) {
    record.say("Step " + step + " is left out: its loss or gradient is not finite.");
    return;
  }
  const std::string newest = record.newest_checkpoint();
  throw Error(
      "the " + std::string(finite_loss ? "gradient" : "loss") + " of step " + step + " (stage '" +
          settings_.name + "') is not a finite number." +
          (newest.empty() ? "" : " The last good checkpoint is " + newest + "."),
      "training",
      "Lower learning_rate or clip_norm, or set [run] non_finite = \"skip\", and go on with --resume.");
}

}  // namespace tessera::train
