#include "train/run_requests.hpp"

#include <algorithm>
#include <atomic>
#include <charconv>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <mutex>
#include <thread>

#include "base/log.hpp"
#include "io/file.hpp"
#include "train/stop_signals.hpp"

namespace tessera::train {
namespace {

namespace fs = std::filesystem;

constexpr auto look_every = std::chrono::milliseconds(500);

std::string clock_text(std::int64_t unix_time) {
  const std::time_t time = unix_time;
  std::tm local{};
  localtime_r(&time, &local);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &local);
  return text;
}

}  // namespace

bool RequestSet::stop() const {
  return has(Request::signal) || has(Request::stop_file) || has(Request::max_minutes) ||
         has(Request::job_end);
}

std::string RequestSet::reasons() const {
  std::string text;
  const auto add = [&](Request request, const char* reason) {
    if (has(request)) text += (text.empty() ? "" : ", ") + std::string(reason);
  };
  add(Request::signal, "a signal");
  add(Request::stop_file, "the file 'stop' in the run folder");
  add(Request::max_minutes, "[run] max_minutes");
  add(Request::job_end, "the end of the Slurm job");
  return text;
}

/// The thread that looks for the two files.
class RunRequests::WatchedFiles {
 public:
  explicit WatchedFiles(const fs::path& root) : stop_(root / "stop"), checkpoint_(root / "checkpoint") {
    std::error_code reason;
    had_old_stop_ = fs::remove(stop_, reason);
    if (reason)
      throw io::system_error(stop_.string(), "remove this request to an earlier run", reason.value());
    thread_ = std::jthread([this](const std::stop_token& end) { watch(end); });
  }
  [[nodiscard]] bool had_old_stop() const { return had_old_stop_; }
  [[nodiscard]] bool stop() const { return sees_stop_; }
  [[nodiscard]] bool checkpoint() const { return sees_checkpoint_; }

  /// Whoever asks again while a checkpoint is written gets that one: no step passes meanwhile.
  void remove_checkpoint() {
    const std::lock_guard lock(mutex_);  // else a look from before the removal could be reported after it
    if (!sees_checkpoint_) return;
    sees_checkpoint_ = false;
    std::error_code reason;
    fs::remove(checkpoint_, reason);
    if (!reason) return;
    obeys_checkpoint_ = false;
    log_warning(checkpoint_.string() + ": cannot remove this request, which has been obeyed (" +
                reason.message() + "). The run takes no more of them.");
  }

 private:
  void watch(const std::stop_token& end) {
    std::unique_lock lock(mutex_);
    while (!end.stop_requested()) {
      std::error_code ignored;
      if (fs::exists(stop_, ignored)) sees_stop_ = true;
      if (obeys_checkpoint_ && fs::exists(checkpoint_, ignored)) sees_checkpoint_ = true;
      wake_.wait_for(lock, end, look_every, [] { return false; });
    }
  }

  fs::path stop_, checkpoint_;
  bool had_old_stop_ = false;
  bool obeys_checkpoint_ = true;
  std::atomic<bool> sees_stop_{false}, sees_checkpoint_{false};
  std::mutex mutex_;
  std::condition_variable_any wake_;
  std::jthread thread_;  // the last member: it ends before the others go
};

RunRequests::RunRequests(const comm::Communicator& world, const fs::path& root, double max_minutes,
                         double job_end_margin)
    : max_minutes_(max_minutes) {
  world.together([&] {
    if (world.rank() == 0) files_ = std::make_unique<WatchedFiles>(root);
  });
  if (job_end_margin > 0 && std::getenv("SLURM_JOB_ID") != nullptr)
    stop_time_ = job_stop_time(std::getenv("SLURM_JOB_END_TIME"), std::time(nullptr), job_end_margin);
  if (files_ && files_->had_old_stop())
    notes_ = "Removed the file 'stop', which was meant for an earlier run. ";
  if (stop_time_) notes_ += "Will stop for the end of the Slurm job at " + clock_text(*stop_time_) + ". ";
  if (!notes_.empty()) notes_.pop_back();
}

RunRequests::~RunRequests() = default;

RequestSet RunRequests::seen(double seconds) const {
  RequestSet all;
  if (StopSignals::received()) all.add(Request::signal);
  if (max_minutes_ > 0 && seconds > max_minutes_ * 60) all.add(Request::max_minutes);
  if (stop_time_ && std::time(nullptr) >= *stop_time_) all.add(Request::job_end);
  if (files_ && files_->stop()) all.add(Request::stop_file);
  if (files_ && files_->checkpoint()) all.add(Request::checkpoint_file);
  return all;
}

void RunRequests::checkpoint_written() {
  if (files_) files_->remove_checkpoint();
}

std::optional<std::int64_t> job_stop_time(const char* job_end, std::int64_t now, double margin) {
  if (job_end == nullptr) return {};
  std::int64_t end = 0;
  const char* const last = job_end + std::strlen(job_end);
  const auto [stopped, error] = std::from_chars(job_end, last, end);
  if (error != std::errc() || stopped != last || end <= now) return {};
  const std::int64_t before = std::min(static_cast<std::int64_t>(margin * 60), (end - now) / 2);
  return end - before;
}

}  // namespace tessera::train
