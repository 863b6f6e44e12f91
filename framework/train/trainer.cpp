#include "train/trainer.hpp"

#include <sched.h>

#include <algorithm>
#include <optional>

#include "base/activity.hpp"
#include "compute/matmul.hpp"
#include "io/file.hpp"
#include "train/agreement.hpp"
#include "train/run_record.hpp"
#include "train/stage_checks.hpp"
#include "train/stage_training.hpp"
#include "train/start_point.hpp"
#include "train/stop_signals.hpp"

namespace tessera::train {
namespace {

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

std::vector<RunComponents> components_of_all(const RunConfig& config, const Registry& registry) {
  std::vector<RunComponents> all;
  all.reserve(config.stages.size());  // the first one is a reference below
  for (std::size_t i = 0; i < config.stages.size(); ++i) {
    if (i == 0) {
      all.emplace_back(registry, config.stage_tree(i));
    } else {
      all.emplace_back(all.front(), config.stage_tree(i));
    }
  }
  return all;
}

class Run {
 public:
  Run(const RunConfig& config, const Registry& registry, const comm::Communicator& world,
      const std::filesystem::path& out, bool resume, const Hooks& hooks);
  ExitCode go();

 private:
  /// Builds and checks every stage on shapes, and opens the data. @return the components of all stages.
  std::vector<RunComponents> check_stages();
  [[nodiscard]] PlannedHandOver plan_hand_over(std::size_t into, const ModelOutline& from,
                                               const ModelOutline& to) const;
  [[nodiscard]] checkpoint::RunState first_state() const;
  void introduce();
  /// The model of `components`, with initial values or those of a checkpoint.
  void enter(RunComponents components, const std::optional<StartPoint>& start);
  /// From a finished stage to the next.
  void hand_over();
  /// From the stage that cannot go on to the last regular checkpoint, in this stage or an earlier one.
  void go_back();

  const RunConfig& config_;
  const Registry& registry_;
  const comm::Communicator& world_;
  ConfigTree resolved_;
  std::vector<std::shared_ptr<const data::Dataset>> datasets_;  // of each stage
  std::unique_ptr<RunFolder> folder_;
  std::unique_ptr<RunRecord> record_;
  std::unique_ptr<StageTraining> stage_;
};

Run::Run(const RunConfig& config, const Registry& registry, const comm::Communicator& world,
         const std::filesystem::path& out, bool resume, const Hooks& hooks)
    : config_(config), registry_(registry), world_(world) {
  const Doing doing("opening the run", Doing::Kind::work, slow_work);
  std::vector<RunComponents> components = check_stages();
  if (world.size() > 1) expect_alike(world, facts_of_run(resolved_, datasets_, registry));
  folder_ = std::make_unique<RunFolder>(world, out, resume);
  const std::optional<checkpoint::Found>& found = folder_->checkpoint();
  std::optional<StartPoint> start;
  if (config.start && found) {
    // The file has served its purpose, and may be gone.
    resolved_.set("start.digest", FieldValue(recorded_digest(*found)));
  } else if (config.start) {
    world.together([&] { start.emplace(*config.start); });
    resolved_.set("start.digest", FieldValue(start->digest()));
    expect_alike(world, {{"start.digest", start->digest()}});
    if (plan_hand_over(0, start->model().outline, outline_of(components.front())).continues_training())
      start->check_continuation();
  }
  if (found) folder_->check_continuation(config, *found, resolved_);
  world.together([&] {
    if (world.rank() == 0)
      io::replace_file((folder_->root() / "config.toml").string(), resolved_.to_toml(true));
  });
  record_ = std::make_unique<RunRecord>(config, world, hooks, *folder_, first_state(), found.has_value());
  introduce();
  enter(std::move(components[static_cast<std::size_t>(record_->state().stage)]), start);
}

checkpoint::RunState Run::first_state() const {
  const std::optional<checkpoint::Found>& found = folder_->checkpoint();
  checkpoint::RunState state;
  state.stage_name = config_.stages.front().name;
  if (found) state = found->description.state;
  state.config = resolved_.to_toml();
  state.precision = config_.run.precision;
  state.plugins.clear();
  for (const LoadedPlugin& plugin : registry_.plugins()) {
    if (plugin.problem.empty()) state.plugins.push_back(plugin.name + " " + plugin.version);
  }
  return state;
}

void Run::enter(RunComponents components, const std::optional<StartPoint>& start) {
  const auto stage = static_cast<std::size_t>(record_->state().stage);
  stage_ = std::make_unique<StageTraining>(config_, stage, std::move(components), world_);
  ModelState& model = stage_->model();
  if (const std::optional<checkpoint::Found>& found = folder_->checkpoint()) {
    record_->say("Resuming from " + found->file.string() + ": stage '" + record_->state().stage_name +
                 "', step " + std::to_string(record_->state().global_step) + ".");
    model.load(found->description, found->file);
  } else if (start) {
    const PlannedHandOver plan = plan_hand_over(0, start->model().outline, outline_of(stage_->components()));
    record_->say("Starting from " + start->text() + ". Hand-over " + plan.summary() + ".");
    if (plan.continues_training()) {
      model.load(start->description(), start->file());
    } else {
      plan.apply(start->model(), model);
    }
  }
}

void Run::hand_over() {
  const Doing doing("hand-over to the next stage", Doing::Kind::work, slow_work);
  const std::size_t next = stage_->index() + 1;
  RunComponents components(stage_->components(), config_.stage_tree(next));
  const PlannedHandOver plan = plan_hand_over(next, outline_of(stage_->components()), outline_of(components));
  record_->say("Hand-over " + plan.summary() + ".");
  if (plan.continues_training()) {
    stage_ = std::make_unique<StageTraining>(config_, next, std::move(components), *stage_, world_);
  } else {
    const EarlierModel earlier = earlier_model(stage_->components(), stage_->model());
    stage_.reset();  // its optimizer makes room for the next one's; the weights stay with `earlier`
    stage_ = std::make_unique<StageTraining>(config_, next, std::move(components), world_);
    plan.apply(earlier, stage_->model());
  }
  checkpoint::RunState& state = record_->state();
  ++state.stage;
  state.stage_step = 0;
  state.stage_name = config_.stages[next].name;
}

void Run::introduce() {
  const int threads = threads_per_rank(world_);
  compute::set_matmul_threads(threads);
  record_->say(config_.run.precision + "; " + std::to_string(world_.size()) + " ranks, " +
               std::to_string(threads) + " threads each.");
}

void Run::go_back() {
  const Doing doing("going back", Doing::Kind::work, slow_work);
  folder_->go_back(record_->state().faults.regular_step);
  const checkpoint::RunState& state = folder_->checkpoint()->description.state;
  folder_->check_continuation(config_, *folder_->checkpoint(), resolved_);
  record_->go_back(state);
  RunComponents components(stage_->components(), config_.stage_tree(static_cast<std::size_t>(state.stage)));
  stage_.reset();  // its arenas make room
  enter(std::move(components), std::nullopt);
}

ExitCode Run::go() {
  if (config_.run.faults.skip_limit > 0 && !folder_->checkpoint()) {  // there must be something to go back to
    record_->save({config_.stages[stage_->index()], stage_->components(), stage_->model()});
  }
  for (;;) {
    const StageTraining::Outcome outcome = stage_->run(datasets_[stage_->index()], *record_);
    if (outcome == StageTraining::Outcome::stopped) {
      record_->finish();
      return ExitCode::resume_later;
    }
    if (outcome == StageTraining::Outcome::goes_back) {
      go_back();
      continue;
    }
    if (stage_->index() + 1 == config_.stages.size()) break;
    hand_over();
  }
  record_->finish();
  record_->say("Finished after " + readable_time(record_->seconds()) + ".");
  return ExitCode::done;
}

std::vector<RunComponents> Run::check_stages() {
  std::vector<RunComponents> all = components_of_all(config_, registry_);
  std::vector<ConfigTree> made;
  for (std::size_t i = 0; i < all.size(); ++i) {
    made.push_back(all[i].resolved());
    if (i > 0) made.back().merge(resolved_hand_over(registry_, config_.stages[i].hand_over));
  }
  if (config_.start) made.front().merge(resolved_hand_over(registry_, config_.start->hand_over));
  resolved_ = config_.resolved(made);
  datasets_ = open_data(config_, all, world_);
  for (std::size_t i = 0; i < all.size(); ++i) {
    check_stage(config_, i, all[i], *datasets_[i], world_);
    if (i > 0) (void)plan_hand_over(i, outline_of(all[i - 1]), outline_of(all[i]));
  }
  return all;
}

PlannedHandOver Run::plan_hand_over(std::size_t into, const ModelOutline& from,
                                    const ModelOutline& to) const {
  const ConfigTree& table = into == 0 ? config_.start.value().hand_over : config_.stages[into].hand_over;
  return {registry_, table, from, to, "stage '" + config_.stages[into].name + "'"};
}

}  // namespace

ExitCode train(const RunConfig& config, const Registry& registry, const comm::Communicator& world,
               const std::filesystem::path& out, bool resume, const Hooks& hooks) {
  const StopSignals signals;
  std::optional<comm::Watchdog> watchdog;
  if (hooks.hangs) watchdog.emplace(world, config.run.watchdog_seconds, hooks.hangs);
  Run run(config, registry, world, out, resume, hooks);
  return run.go();
}

}  // namespace tessera::train
