#include "train/reporter.hpp"

#include <array>
#include <cstdio>

#include "base/log.hpp"

namespace tessera::train {

Reporter::Reporter(const comm::Communicator& world, const std::filesystem::path& folder,
                   std::int64_t last_step, std::int64_t total_steps, bool resumed, std::ostream* terminal)
    : world_(world), folder_(folder), total_steps_(total_steps) {
  open_files(last_step, resumed ? last_step : -1);
  if (world_.rank() == 0) progress_.emplace(terminal);
}

void Reporter::open_files(std::int64_t last_step, std::int64_t void_after) {
  world_.together([&] {
    if (world_.rank() != 0) return;
    metrics_ = std::make_unique<MetricsFile>(folder_ / "metrics.jsonl", last_step);
    events_ = std::make_unique<EventFile>(folder_, void_after);
  });
}

void Reporter::go_back(std::int64_t last_step) {
  open_files(last_step, last_step);
  mark_ = Clock::now();
  images_ = 0;
  steps_ = 0;
}

double Reporter::seconds() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }

void Reporter::step(const StepReport& report) {
  images_ += report.images;
  ++steps_;
  if (!progress_) return;
  shown_loss_ = shown_ ? 0.98 * shown_loss_ + 0.02 * report.loss : report.loss;
  shown_ = true;
  const double elapsed = std::chrono::duration<double>(Clock::now() - mark_).count();
  progress_->show({report.stage, report.step, total_steps_, shown_loss_, report.learning_rate,
                   static_cast<double>(images_) / elapsed,
                   elapsed / static_cast<double>(steps_) * static_cast<double>(total_steps_ - report.step)});
}

void Reporter::metrics(const StepReport& report, double mean_loss) {
  const auto now = Clock::now();
  if (memory_ == 0 || now - memory_time_ > std::chrono::seconds(10)) {
    memory_ = proportional_memory();
    memory_time_ = now;
  }
  const double elapsed = std::chrono::duration<double>(now - mark_).count();
  const double memory = world_.ordered_sum(memory_);
  const double rate = static_cast<double>(images_) / elapsed;
  const double left = elapsed / static_cast<double>(steps_) * static_cast<double>(total_steps_ - report.step);
  mark_ = now;
  images_ = 0;
  steps_ = 0;
  if (!metrics_) return;
  metrics_->append({report.step, report.stage, mean_loss, report.learning_rate, report.gradient_norm,
                    report.clip, rate, seconds(), memory, report.attempt, report.skipped, report.damaged});
  events_->scalars(report.step, {{"loss", mean_loss},
                                 {"learning_rate", report.learning_rate},
                                 {"gradient_norm", report.gradient_norm},
                                 {"images_per_s", rate},
                                 {"memory_bytes", memory}});
  std::array<char, 200> text{};
  std::snprintf(text.data(), text.size(), "  loss %.5f  lr %.3e  norm %.3f  %.1f images/s  %.0f MB  %s left",
                mean_loss, report.learning_rate, report.gradient_norm, rate, memory / 1e6,
                readable_time(left).c_str());
  say(report.stage + " " + std::to_string(report.step) + "/" + std::to_string(total_steps_) + text.data());
}

void Reporter::sample(std::int64_t step, const io::Image& grid) {
  if (events_) events_->image(step, "samples", grid);
}

void Reporter::say(const std::string& text) {
  if (world_.rank() == 0) log_info(text);
}

}  // namespace tessera::train
