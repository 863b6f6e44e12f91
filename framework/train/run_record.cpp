#include "train/run_record.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

#include "base/activity.hpp"
#include "base/log.hpp"
#include "base/timeline.hpp"
#include "io/file.hpp"
#include "io/png.hpp"
#include "train/step_faults.hpp"

namespace tessera::train {
namespace {

using checkpoint::Writing;

double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

}  // namespace

RunRecord::RunRecord(const RunConfig& config, const comm::Communicator& world, const Hooks& hooks,
                     const RunFolder& folder, checkpoint::RunState state, bool resumed)
    : config_(config),
      world_(world),
      hooks_(hooks),
      folder_(folder),
      state_(std::move(state)),
      saved_step_(resumed ? state_.global_step : -1),
      reporter_(world, folder.root(), state_.global_step, config.total_steps(), resumed, hooks.terminal),
      requests_(world, folder.root(), config.run.max_minutes, config.run.job_end_margin),
      trace_(world, folder.root() / "trace.json", config.run.trace_steps, config.run.trace_after) {
  if (!requests_.notes().empty()) say(requests_.notes());
}

void RunRecord::after_step(const StepReport& step, const StageModel& model, bool last,
                           const RequestSet& asked) {
  reporter_.step(step);
  if (saving_ && world_.agree(saving_->save->ready())) advance_save();  // no rank waits for another's disk
  const auto due = [&](std::int64_t every) { return every > 0 && state_.global_step % every == 0; };
  if (due(config_.run.log_every) || last) report(step);
  const bool regular = due(config_.run.checkpoint_every) || last;
  const bool requested = asked.has(Request::checkpoint_file);
  if (asked.stop() || last) {
    save(model, regular);
  } else if (due(config_.run.checkpoint_every) || (requested && !answering_request_)) {
    start_save(model, regular, config_.run.overlap_checkpoints ? Writing::overlapped : Writing::at_once);
  }
  answering_request_ |= requested;
  if (answering_request_ && !saving_) {
    requests_.checkpoint_written();
    answering_request_ = false;
  }
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

void RunRecord::save(const StageModel& model, bool regular) {
  start_save(model, regular, Writing::at_once);
  settle();
}

void RunRecord::start_save(const StageModel& model, bool regular, Writing writing) {
  if (regular && config_.run.faults.skip_limit > 0) state_.faults.regular_step = state_.global_step;
  if (saving_ && saving_->step != state_.global_step) settle();
  if (saving_ || saved_step_ == state_.global_step) return;
  const Doing doing("starting a checkpoint", Doing::Kind::work, slow_work);
  const TimelineSpan span("checkpoint", state_.global_step);
  const auto begin = Clock::now();
  reporter_.pause([&] {
    state_.optimizer_updates = model.state.optimizer().updates();
    state_.average_active = model.state.average_active();
    saving_ = Saving{state_.global_step, begin, 0.0,
                     checkpoint::start_save(folder_.checkpoints(), config_.run.keep, state_,
                                            model.state.store(), model.state.arenas(), world_, writing)};
  });
  saving_->waited += seconds_since(begin);
  if (saving_->save->writing() == Writing::overlapped) return;
  if (writing == Writing::overlapped && !said_no_memory_ && world_.rank() == 0) {
    log_warning(
        "There is no memory for a copy of the " + io::readable_bytes(saving_->save->bytes()) +
        " of a checkpoint: training waits while one is written, as with overlap_checkpoints = false.");
    said_no_memory_ = true;
  }
  settle();
}

void RunRecord::settle() {
  while (saving_) advance_save();
}

void RunRecord::advance_save() {
  const Doing doing("writing a checkpoint", Doing::Kind::work, slow_work);
  const TimelineSpan span("wait for checkpoint", saving_->step);
  const auto begin = Clock::now();
  bool complete = false;
  reporter_.pause([&] { complete = saving_->save->advance(); });
  saving_->waited += seconds_since(begin);
  if (!complete) return;
  saved_step_ = saving_->step;
  std::array<char, 120> text{};
  std::snprintf(text.data(), text.size(), ", is on the disk after %.2f s; training stood still for %.2f s.",
                seconds_since(saving_->begin), saving_->waited);
  reporter_.say("The checkpoint of step " + std::to_string(saved_step_) + ", " +
                io::readable_bytes(saving_->save->bytes()) + text.data());
  saving_.reset();
}

void RunRecord::go_back(const checkpoint::RunState& state) {
  const std::int64_t attempt = state_.attempt + 1;
  const checkpoint::FaultCounters counters = count_rollback(state_.faults, state.faults);
  const std::string config =
      state_.config;  // the run's, even where the checkpoint was written with another one
  const std::vector<std::string> plugins = state_.plugins;
  state_ = state;
  state_.config = config;
  state_.plugins = plugins;
  state_.attempt = attempt;
  state_.faults = counters;
  saved_step_ = state.global_step;
  reporter_.go_back(state.global_step);
}

void RunRecord::sample(const StageModel& model) {
  const Doing doing("drawing samples", Doing::Kind::work, slow_work);
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

}  // namespace tessera::train
