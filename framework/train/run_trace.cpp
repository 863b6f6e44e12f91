#include "train/run_trace.hpp"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/log.hpp"
#include "base/timeline.hpp"
#include "io/file.hpp"

namespace tessera::train {
namespace {

// Some 100 bytes of text each.
constexpr std::size_t kEventsOfAll = std::size_t{1} << 20;
constexpr std::size_t kEventsOfRank = std::size_t{1} << 16;

}  // namespace

RunTrace::RunTrace(const comm::Communicator& world, std::filesystem::path file, std::int64_t steps,
                   std::int64_t after)
    : world_(world), file_(std::move(file)), steps_(steps), after_(after) {
  if (steps_ > 0 && after_ == 0) begin();
}

RunTrace::~RunTrace() { timeline().stop(); }

void RunTrace::begin() {
  const std::size_t share = kEventsOfAll / static_cast<std::size_t>(world_.size());
  world_.barrier();
  timeline().start(std::clamp(share, kEventsOfRank / 64, kEventsOfRank));
  recording_ = true;
}

void RunTrace::after_step() {
  if (steps_ == 0) return;
  ++passed_;
  if (!recording_ && passed_ == after_) return begin();
  if (passed_ == after_ + steps_) finish();
}

void RunTrace::finish() {
  if (!recording_) return;
  recording_ = false;
  steps_ = 0;
  timeline().stop();
  write_trace(world_, file_, chrome_trace(timeline(), world_.rank()));
  if (world_.rank() == 0) log_info("Timeline of the ranks: " + file_.string() + ".");
}

void write_trace(const comm::Communicator& world, const std::filesystem::path& file,
                 const std::string& part) {
  const bool first = world.rank() == 0;
  const bool last = world.rank() + 1 == world.size();
  const std::string own = (first ? "[\n" : ",\n") + part + (last ? "\n]\n" : "");
  std::uint64_t offset = 0;
  int rank = 0;
  for (const std::string& length : world.gather(std::to_string(own.size()))) {
    if (rank++ < world.rank()) offset += std::stoull(length);
  }
  std::optional<io::FileReplacement> replacement;
  world.together([&] {
    if (first) replacement.emplace(file.string());
  });
  const std::string path = world.gather(first ? replacement->temporary_path() : "").front();
  world.together([&] { io::File::open_update(path).write_at(own.data(), own.size(), offset); });
  world.together([&] {
    if (first) replacement->commit();
  });
}

}  // namespace tessera::train
