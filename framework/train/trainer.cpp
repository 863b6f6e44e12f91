#include "train/trainer.hpp"

#include <sched.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "base/log.hpp"
#include "checkpoint/checkpoint_folder.hpp"
#include "compute/matmul.hpp"
#include "io/file.hpp"
#include "io/png.hpp"
#include "train/gradient_step.hpp"
#include "train/model_state.hpp"
#include "train/reporter.hpp"
#include "train/run_folder.hpp"
#include "train/stop_signals.hpp"

namespace tessera::train {
namespace {

bool keeps_average(const RunConfig& config) {
  return std::ranges::any_of(config.stages, [](const auto& stage) { return stage.ema_smoothing > 0; });
}

/// The cores that this rank may run on, shared out among the ranks of the node that may run on the same ones,
/// unless the user said something else. Collective.
int threads_per_rank(const comm::Communicator& world) {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0) CPU_SET(0, &allowed);
  const std::string mine(reinterpret_cast<const char*>(&allowed), sizeof(allowed));
  const std::vector<std::string> all = world.node().gather(mine);
  if (const char* given = std::getenv("OMP_NUM_THREADS")) return std::max(1, std::atoi(given));
  return std::max(1, CPU_COUNT(&allowed) / static_cast<int>(std::ranges::count(all, mine)));
}

/// Everything about the stages that can be known to fail before the first step.
void check_stages(const RunConfig& config, RunComponents& components, const data::Dataset& dataset,
                  const comm::Communicator& world) {
  for (const StageSettings& stage : config.stages) {
    const std::string where = "stage '" + stage.name + "'";
    if (stage.batch < world.size()) {
      throw Error("the batch of " + std::to_string(stage.batch) +
                      " pictures is smaller than the number of ranks, " + std::to_string(world.size()) + ".",
                  where, "Raise `batch`, or start fewer ranks.");
    }
    const data::Grid grid = dataset.common_grid(dataset.resolution_index(stage.resolution));
    const std::int64_t patch = components.backbone().patch_size();
    if (grid.height % patch != 0 || grid.width % patch != 0) {
      throw Error("latents of " + std::to_string(grid.height) + " x " + std::to_string(grid.width) +
                      " at resolution " + std::to_string(stage.resolution) +
                      " cannot be cut into patches of side " + std::to_string(patch) + ".",
                  where, "Choose a resolution whose latent side is a multiple of the backbone's patch.");
    }
    const std::int64_t tokens = grid.height / patch * (grid.width / patch);
    if (stage.mask_ratio > 0 && Masking::kept_tokens(tokens, stage.mask_ratio) < 1) {
      throw Error("a mask_ratio of " + std::to_string(stage.mask_ratio) + " leaves none of the " +
                      std::to_string(tokens) + " patches of a picture.",
                  where, "Lower mask_ratio, or raise the resolution.");
    }
    components.set_objective(stage.objective);
  }
}

std::shared_ptr<const data::Dataset> open_data(const RunConfig& config, RunComponents& components) {
  data::DatasetExpectation expected;
  expected.codec = components.codec().identity();
  expected.text_encoder = components.text_encoder().identity();
  expected.channels = static_cast<std::uint32_t>(components.codec().channels());
  expected.caption_length = static_cast<std::uint32_t>(components.text_encoder().length());
  expected.caption_width = static_cast<std::uint32_t>(components.text_encoder().width());
  const CaptionConditioner* captions = components.backbone().captions();
  expected.needs_all_positions = captions != nullptr && captions->needs_all_positions();
  return std::make_shared<const data::Dataset>(config.data.path, expected);
}

class Run {
 public:
  Run(const RunConfig& config, const Registry& registry, const comm::Communicator& world,
      const std::filesystem::path& out, bool resume, const Hooks& hooks);
  ExitCode go();

 private:
  enum class Outcome : std::uint8_t { finished, stopped };
  void introduce();
  void begin_stage();
  Outcome run_stage();
  /// One optimizer step. @return what to report.
  StepReport step(GradientStep& gradient);
  /// Whether to report, sample, save or stop after the step that was just finished.
  Outcome after_step(const StepReport& report, bool stop);
  void save();
  void sample();
  [[nodiscard]] const StageSettings& stage() const {
    return config_.stages[static_cast<std::size_t>(state_.stage)];
  }
  [[nodiscard]] bool wants_to_stop() const;

  const RunConfig& config_;
  const comm::Communicator& world_;
  const Hooks& hooks_;
  RunComponents components_;
  ConfigTree resolved_;
  std::shared_ptr<const data::Dataset> dataset_;
  RunFolder folder_;
  ModelState model_;
  checkpoint::RunState state_;
  std::int64_t saved_step_ = -1;
  bool stop_agreed_ = false;
  std::unique_ptr<Reporter> reporter_;
};

Run::Run(const RunConfig& config, const Registry& registry, const comm::Communicator& world,
         const std::filesystem::path& out, bool resume, const Hooks& hooks)
    : config_(config),
      world_(world),
      hooks_(hooks),
      components_(registry, config.tree),
      resolved_(config.resolved(components_)),
      dataset_(open_data(config, components_)),
      folder_(world, out, resume),
      model_(components_.backbone(), nn::Precision::named(config.run.precision), config.optimizer,
             keeps_average(config), config.run.seed, world) {
  check_stages(config, components_, *dataset_, world_);
  const std::optional<checkpoint::Found> found = folder_.checkpoint();
  if (found) {
    state_ = found->description.state;
    folder_.check_continuation(config, *found, resolved_);
    model_.load(found->description, found->file);
    saved_step_ = state_.global_step;
  }
  state_.config = resolved_.to_toml();
  state_.precision = config.run.precision;
  state_.plugins.clear();
  for (const LoadedPlugin& plugin : registry.plugins()) {
    if (plugin.problem.empty()) state_.plugins.push_back(plugin.name + " " + plugin.version);
  }
  world_.together([&] {
    if (world_.rank() == 0)
      io::replace_file((folder_.root() / "config.toml").string(), resolved_.to_toml(true));
  });
  reporter_ = std::make_unique<Reporter>(world_, folder_.root(), state_.global_step, config.total_steps(),
                                         found.has_value(), hooks.terminal);
  if (found) {
    reporter_->say("Resuming from " + found->file.string() + ": stage '" + stage().name + "', step " +
                   std::to_string(state_.global_step) + ".");
  }
}

void Run::introduce() {
  const int threads = threads_per_rank(world_);
  compute::set_matmul_threads(threads);
  const std::int64_t frozen = model_.store().frozen_parameters();
  reporter_->say(std::to_string(model_.store().trainable_parameters()) + " parameters" +
                 (frozen > 0 ? " and " + std::to_string(frozen) + " frozen ones, " : ", ") +
                 config_.run.precision + "; " + std::to_string(world_.size()) + " ranks, " +
                 std::to_string(threads) + " threads each; " + std::to_string(dataset_->records()) +
                 " pictures in " + std::to_string(dataset_->shards()) + " shards.");
}

ExitCode Run::go() {
  introduce();
  for (;; ++state_.stage, state_.stage_step = 0) {
    begin_stage();
    if (run_stage() == Outcome::stopped) return ExitCode::resume_later;
    if (state_.stage + 1 == static_cast<std::int64_t>(config_.stages.size())) break;
  }
  reporter_->say("Finished after " + readable_time(reporter_->seconds()) + ".");
  return ExitCode::done;
}

void Run::begin_stage() {
  components_.set_objective(stage().objective);
  components_.backbone().set_positions(positions_of(stage(), components_));
  state_.stage_name = stage().name;
  if (state_.stage_step > 0) return;
  if (state_.stage > 0 && stage().hand_over == HandOver::weights) {
    model_.reset_optimizer();
    model_.stop_average();
  }
  if (stage().ema_smoothing == 0) model_.stop_average();
  world_.barrier();
  reporter_->say("Stage '" + stage().name + "': " + std::to_string(stage().steps) + " steps of " +
                 std::to_string(stage().batch) + " pictures at " + std::to_string(stage().resolution) +
                 " px.");
}

Run::Outcome Run::run_stage() {
  if (state_.stage_step < stage().steps) {
    const data::LoaderConfig loading{.resolution = stage().resolution,
                                     .global_batch = static_cast<std::uint64_t>(stage().batch),
                                     .micro_batch = static_cast<std::uint64_t>(stage().micro_batch),
                                     .rank = static_cast<std::uint64_t>(world_.rank()),
                                     .ranks = static_cast<std::uint64_t>(world_.size()),
                                     .seed = config_.run.seed,
                                     .stage = static_cast<std::uint32_t>(state_.stage),
                                     .attempt = static_cast<std::uint32_t>(state_.attempt),
                                     .first_step = static_cast<std::uint64_t>(state_.stage_step),
                                     .first_draw = static_cast<std::uint64_t>(state_.samples_seen),
                                     .caption_drop = config_.data.caption_drop,
                                     .window_shards = static_cast<std::uint32_t>(config_.data.window_shards),
                                     .prefetch = static_cast<std::uint32_t>(config_.data.prefetch),
                                     .threads = static_cast<std::uint32_t>(config_.data.workers)};
    data::Loader loader(dataset_, loading);
    GradientStep gradient(components_, model_, stage(), loader);
    while (state_.stage_step < stage().steps) {
      const StepReport report = step(gradient);
      if (after_step(report, stop_agreed_) == Outcome::stopped) return Outcome::stopped;
    }
  }
  save();
  return Outcome::finished;
}

StepReport Run::step(GradientStep& gradient) {
  const double part = gradient.run({.seed = config_.run.seed,
                                    .stage = static_cast<std::uint32_t>(state_.stage),
                                    .attempt = static_cast<std::uint32_t>(state_.attempt),
                                    .step = static_cast<std::uint64_t>(state_.stage_step)});
  comm::GradientReducer& reducer = model_.reducer();
  reducer.finish();
  // One exchange for the loss and the wish to stop. Each sum has one term that is not zero, so it is exact,
  // and the terms are then added in rank order.
  std::vector<double> exchanged(static_cast<std::size_t>(world_.size()) + 1, 0.0);
  exchanged[static_cast<std::size_t>(world_.rank())] = part;
  exchanged.back() = wants_to_stop() ? 1.0 : 0.0;
  world_.all_reduce(std::span(exchanged));
  stop_agreed_ = exchanged.back() > 0;
  double loss = 0;
  for (std::size_t r = 0; r + 1 < exchanged.size(); ++r) loss += exchanged[r];
  const double norm = std::sqrt(reducer.sum_of_squares());

  const double rate = learning_rate(stage().learning_rate, state_.stage_step);
  double clip = 1;
  if (std::isfinite(loss) && std::isfinite(norm)) {
    const bool averaging = stage().ema_smoothing > 0;
    if (averaging && !model_.average_active() && state_.stage_step >= stage().ema_start)
      model_.start_average();
    if (stage().clip_norm > 0) clip = std::min(1.0, stage().clip_norm / (norm + 1e-6));
    model_.optimizer().update({.learning_rate = rate,
                               .gradient_scale = clip,
                               .average_smoothing = model_.average_active() ? stage().ema_smoothing : 1.0},
                              static_cast<std::int64_t>(reducer.my_slice().begin),
                              static_cast<std::int64_t>(reducer.my_slice().end));
  } else if (config_.run.non_finite == NonFinite::stop) {
    throw Error(
        "the " + std::string(std::isfinite(loss) ? "gradient" : "loss") + " of step " +
            std::to_string(state_.global_step + 1) + " (stage '" + stage().name +
            "') is not a finite number." +
            (saved_step_ >= 0
                 ? " The last good checkpoint is " +
                       (folder_.checkpoints() / checkpoint::file_name(saved_step_)).string() + "."
                 : ""),
        "training",
        "Lower learning_rate or clip_norm, or set [run] non_finite = \"skip\", and go on with --resume.");
  } else {
    clip = 0;
    loss = 0;
    reporter_->say("Step " + std::to_string(state_.global_step + 1) +
                   " is left out: its loss or gradient is not finite.");
  }
  reducer.publish();

  ++state_.stage_step;
  ++state_.global_step;
  state_.samples_seen += stage().batch;
  if (clip > 0) {
    state_.loss_sum += loss;
    ++state_.loss_steps;
  }
  return {state_.global_step, stage().name, loss, rate, norm, clip, stage().batch};
}

Run::Outcome Run::after_step(const StepReport& report, bool stop) {
  reporter_->step(report);
  const bool last = state_.stage_step == stage().steps;
  const auto due = [&](std::int64_t every) { return every > 0 && state_.global_step % every == 0; };
  if (due(config_.run.log_every) || last) {
    const double steps = static_cast<double>(std::max<std::int64_t>(1, state_.loss_steps));
    reporter_->metrics(report, state_.loss_steps > 0 ? state_.loss_sum / steps : std::nan(""));
    state_.loss_sum = 0;
    state_.loss_steps = 0;
  }
  if (due(config_.run.checkpoint_every) || stop) save();
  if (hooks_.sample && !config_.run.sample_prompts.empty() && (due(config_.run.sample_every) || last))
    sample();
  if (!stop || last) return Outcome::finished;
  reporter_->say("Stopping early with a checkpoint; go on with --resume.");
  return Outcome::stopped;
}

bool Run::wants_to_stop() const {
  const double limit = config_.run.max_minutes * 60.0;
  return StopSignals::received() || (limit > 0 && reporter_->seconds() > limit);
}

void Run::save() {
  if (saved_step_ == state_.global_step) return;
  reporter_->pause([&] {
    state_.optimizer_updates = model_.optimizer().updates();
    state_.average_active = model_.average_active();
    checkpoint::save_and_rotate(folder_.checkpoints(), config_.run.keep_checkpoints, state_, model_.store(),
                                model_.arenas(), world_);
    saved_step_ = state_.global_step;
  });
}

void Run::sample() {
  reporter_->pause([&] {
    model_.swap_average();
    const io::Image grid = hooks_.sample({components_, config_.run, stage().resolution,
                                          model_.store().precision(), state_.global_step, world_});
    model_.swap_average();
    world_.together([&] {
      if (world_.rank() != 0 || grid.empty()) return;
      std::string name = checkpoint::file_name(state_.global_step);
      name.replace(name.size() - 2, 2, "png");
      io::write_png(folder_.samples() / name, grid);
      reporter_->sample(state_.global_step, grid);
    });
  });
}

}  // namespace

ExitCode train(const RunConfig& config, const Registry& registry, const comm::Communicator& world,
               const std::filesystem::path& out, bool resume, const Hooks& hooks) {
  const StopSignals signals;
  Run run(config, registry, world, out, resume, hooks);
  return run.go();
}

}  // namespace tessera::train
