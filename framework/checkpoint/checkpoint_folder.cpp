#include "checkpoint/checkpoint_folder.hpp"

#include <algorithm>
#include <array>
#include <cstdio>

#include "base/log.hpp"
#include "io/file.hpp"

namespace tessera::checkpoint {
namespace {

namespace fs = std::filesystem;

/// The step of "step-00000123.h5"; -1 for any other name.
std::int64_t step_of(const fs::path& file) {
  const std::string name = file.filename().string();
  std::int64_t step = -1;
  int used = 0;
  if (std::sscanf(name.c_str(), "step-%ld.h5%n", &step, &used) != 1 ||
      used != static_cast<int>(name.size())) {
    return -1;
  }
  return step;
}

bool is_leftover(const fs::path& file) {
  const std::string name = file.filename().string();
  return name.starts_with("step-") && name.find(".h5.tmp-") != std::string::npos;
}

/// Deletes what need not stay beside the checkpoint of `newest`. A file of a later step is a damaged one that
/// the run fell back from: it neither counts nor goes. That of `regular` is where a roll-back goes. Failing
/// to delete is no reason to stop a run.
void remove_older(const fs::path& folder, const Retention& retention, std::int64_t newest,
                  std::int64_t regular) {
  std::error_code ignored;
  std::int64_t kept = 0;
  for (const fs::path& file : list(folder)) {
    const std::int64_t step = step_of(file);
    if (step > newest || kept++ < std::max<std::int64_t>(1, retention.newest)) continue;
    if (step == regular || (retention.every > 0 && step % retention.every == 0)) continue;
    fs::remove(file, ignored);
  }
}

}  // namespace

std::string file_name(std::int64_t global_step) {
  std::array<char, 40> name{};
  std::snprintf(name.data(), name.size(), "step-%08ld.h5", global_step);
  return name.data();
}

std::vector<fs::path> list(const fs::path& folder) {
  std::vector<fs::path> files;
  std::error_code missing;
  for (const auto& entry : fs::directory_iterator(folder, missing)) {
    if (step_of(entry.path()) >= 0) files.push_back(entry.path());
  }
  std::ranges::sort(files, [](const fs::path& a, const fs::path& b) { return step_of(a) > step_of(b); });
  return files;
}

std::optional<Found> newest_intact(const fs::path& folder) {
  const std::vector<fs::path> files = list(folder);
  for (const fs::path& file : files) {
    try {
      return Found{file, verify(file)};
    } catch (const Error& error) {
      log_warning("The checkpoint " + file.string() + " cannot be used: " + error.summary() +
                  " Falling back to the one before it.");
    }
  }
  if (files.empty()) return std::nullopt;
  throw Error("all " + std::to_string(files.size()) + " checkpoints of this folder are damaged.",
              folder.string(),
              "Restore one from a copy, or remove them all to start the run from the beginning.");
}

void remove_after(const fs::path& folder, std::int64_t global_step) {
  for (const fs::path& file : list(folder)) {
    if (step_of(file) <= global_step) continue;
    std::error_code failure;
    fs::remove(file, failure);
    if (failure) throw io::system_error(file.string(), "delete it", failure.value());
  }
}

void remove_leftovers(const fs::path& folder) {
  std::error_code ignored;
  std::vector<fs::path> leftovers;
  for (const auto& entry : fs::directory_iterator(folder, ignored)) {
    if (is_leftover(entry.path())) leftovers.push_back(entry.path());
  }
  for (const fs::path& leftover : leftovers) fs::remove(leftover, ignored);
}

std::unique_ptr<PendingSave> start_save(const fs::path& folder, const Retention& retention,
                                        const RunState& state, const nn::ParameterStore& store,
                                        const std::vector<NamedArena>& arenas,
                                        const comm::Communicator& world, Writing writing) {
  if (world.rank() == 0) remove_leftovers(folder);
  const auto rotate = [folder, retention, step = state.global_step, regular = state.faults.regular_step] {
    remove_older(folder, retention, step, regular);
  };
  return std::make_unique<PendingSave>(folder / file_name(state.global_step), state, store, arenas, world,
                                       SaveOptions{.writing = writing, .afterwards = rotate});
}

}  // namespace tessera::checkpoint
