#include "train/run_record.hpp"

#include <algorithm>
#include <cmath>

#include "base/timeline.hpp"
#include "io/png.hpp"
#include "train/stop_signals.hpp"

namespace tessera::train {

RunRecord::RunRecord(const RunConfig& config, const comm::Communicator& world, const Hooks& hooks,
                     const RunFolder& folder, checkpoint::RunState state, bool resumed)
    : config_(config),
      world_(world),
      hooks_(hooks),
      folder_(folder),
      state_(std::move(state)),
      saved_step_(resumed ? state_.global_step : -1),
      reporter_(world, folder.root(), state_.global_step, config.total_steps(), resumed, hooks.terminal),
      trace_(world, folder.root() / "trace.json", config.run.trace_steps, config.run.trace_after) {}

void RunRecord::after_step(const StepReport& step, const StageModel& model, bool last, bool stop) {
  reporter_.step(step);
  const auto due = [&](std::int64_t every) { return every > 0 && state_.global_step % every == 0; };
  if (due(config_.run.log_every) || last) report(step);
  if (due(config_.run.checkpoint_every) || stop) save(model);
  if (hooks_.sample && !model.settings.sample.prompts.empty() && (due(config_.run.sample_every) || last))
    sample(model);
  trace_.after_step();
}

void RunRecord::report(const StepReport& step) {
  const double steps = static_cast<double>(std::max<std::int64_t>(1, state_.loss_steps));
  reporter_.metrics(step, state_.loss_steps > 0 ? state_.loss_sum / steps : std::nan(""));
  state_.loss_sum = 0;
  state_.loss_steps = 0;
}

void RunRecord::save(const StageModel& model) {
  if (saved_step_ == state_.global_step) return;
  const TimelineSpan span("checkpoint", state_.global_step);
  reporter_.pause([&] {
    state_.optimizer_updates = model.state.optimizer().updates();
    state_.average_active = model.state.average_active();
    checkpoint::save_and_rotate(folder_.checkpoints(), config_.run.keep_checkpoints, state_,
                                model.state.store(), model.state.arenas(), world_);
    saved_step_ = state_.global_step;
  });
}

void RunRecord::sample(const StageModel& model) {
  const TimelineSpan span("samples", state_.global_step);
  reporter_.pause([&] {
    model.state.swap_average();
    const io::Image grid = hooks_.sample({model.components, model.settings.sample, model.settings.resolution,
                                          model.state.store().precision(), state_.global_step, world_});
    model.state.swap_average();
    world_.together([&] {
      if (world_.rank() != 0 || grid.empty()) return;
      std::string name = checkpoint::file_name(state_.global_step);
      name.replace(name.size() - 2, 2, "png");
      io::write_png(folder_.samples() / name, grid);
      reporter_.sample(state_.global_step, grid);
    });
  });
}

std::string RunRecord::newest_checkpoint() const {
  return saved_step_ < 0 ? "" : (folder_.checkpoints() / checkpoint::file_name(saved_step_)).string();
}

bool RunRecord::wants_to_stop() const {
  const double limit = config_.run.max_minutes * 60.0;
  return StopSignals::received() || (limit > 0 && reporter_.seconds() > limit);
}

}  // namespace tessera::train
