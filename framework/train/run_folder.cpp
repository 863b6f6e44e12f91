#include "train/run_folder.hpp"

#include <sstream>

#include "base/log.hpp"
#include "io/file.hpp"

namespace tessera::train {
namespace {

namespace fs = std::filesystem;

/// The lines of `now` that `before` lacks, for people.
std::string changed_lines(const std::string& before, const std::string& now) {
  std::string changed;
  std::istringstream lines(now);
  for (std::string line; std::getline(lines, line);) {
    if (!line.empty() && before.find(line + "\n") == std::string::npos) changed += "\n  " + line;
  }
  return changed;
}

}  // namespace

RunFolder::RunFolder(const comm::Communicator& world, const fs::path& root, bool resume)
    : world_(world), root_(root) {
  world_.together([&] {
    if (world_.rank() != 0) return;
    if (!resume && (fs::exists(root_ / "metrics.jsonl") || !checkpoint::list(checkpoints()).empty())) {
      throw Error("this folder already holds a run.", root_.string(),
                  "Go on with it (--resume), or choose another folder (--out).");
    }
    for (const fs::path& folder : {root_, checkpoints(), samples()}) {
      io::make_folders(folder.string());
      io::File::create((folder / ".writable").string()).close();
      fs::remove(folder / ".writable");
    }
    checkpoint::remove_leftovers(checkpoints());
    log_sink_ = logger().add_file(root_ / "log.txt");
    if (resume) found_ = checkpoint::newest_intact(checkpoints());
  });
  share_found();
}

void RunFolder::share_found() {
  const std::string chosen = world_.gather(found_ ? found_->file.string() : std::string()).front();
  world_.together([&] {
    if (!chosen.empty() && !found_) found_ = checkpoint::Found{chosen, checkpoint::describe(chosen)};
  });
}

void RunFolder::go_back(std::int64_t step) {
  found_.reset();
  world_.together([&] {
    if (world_.rank() != 0) return;
    if (step >= 0) {
      const fs::path regular = checkpoints() / checkpoint::file_name(step);
      try {
        found_ = checkpoint::Found{regular, checkpoint::verify(regular)};
      } catch (const Error& error) {
        log_warning("The checkpoint " + regular.string() + " cannot be used to go back: " + error.summary());
      }
    }
    if (!found_) found_ = checkpoint::newest_intact(checkpoints());
    if (!found_) {
      throw Error("there is no checkpoint to go back to.", checkpoints().string(),
                  "Start the run again with other settings.");
    }
    // What was trained since then is given up: a run that is stopped soon shall not resume from it.
    checkpoint::remove_after(checkpoints(), found_->description.state.global_step);
  });
  share_found();
}

RunFolder::~RunFolder() {
  if (log_sink_) logger().remove(*log_sink_);
}

void RunFolder::check_continuation(const RunConfig& config, const checkpoint::Found& found,
                                   const ConfigTree& resolved) const {
  const checkpoint::RunState& state = found.description.state;
  const auto stages = static_cast<std::int64_t>(config.stages.size());
  if (state.stage >= stages ||
      config.stages[static_cast<std::size_t>(state.stage)].name != state.stage_name) {
    throw Error("this checkpoint was written in stage " + std::to_string(state.stage + 1) + ", '" +
                    state.stage_name + "', which the configuration does not have there.",
                found.file.string(),
                "Resume with the configuration of the run (config.toml in its folder), or start a new run.");
  }
  if (world_.rank() == 0 && state.config != resolved.to_toml()) {
    log_warning("The configuration differs from the one that wrote " + found.file.string() +
                "; the run will not be the one that it would have been. New or changed lines:" +
                changed_lines(state.config, resolved.to_toml()));
  }
}

}  // namespace tessera::train
