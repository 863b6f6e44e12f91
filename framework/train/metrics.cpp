#include "train/metrics.hpp"

#include <cerrno>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>
#include <sstream>

#include "io/file.hpp"

namespace tessera::train {
namespace {

void put(std::string& line, const char* key, double value) {
  char text[40];
  line += std::string(",\"") + key + "\":";
  if (!std::isfinite(value)) {
    line += "null";
    return;
  }
  const auto end = std::to_chars(text, text + sizeof(text), value).ptr;
  line.append(text, end);
}

/// The step of a line; past any limit for a line that was cut short or is no report.
std::int64_t step_of(const std::string& line) {
  const auto parsed = nlohmann::json::parse(line, nullptr, false);
  if (parsed.is_object() && parsed.contains("step") && parsed["step"].is_number_integer()) {
    return parsed["step"].get<std::int64_t>();
  }
  return std::numeric_limits<std::int64_t>::max();
}

}  // namespace

std::string to_json(const StepMetrics& metrics) {
  std::string line = "{\"step\":" + std::to_string(metrics.step);
  line += ",\"stage\":" + nlohmann::json(metrics.stage).dump();
  put(line, "loss", metrics.loss);
  put(line, "learning_rate", metrics.learning_rate);
  put(line, "gradient_norm", metrics.gradient_norm);
  put(line, "clip", metrics.clip);
  put(line, "images_per_s", metrics.images_per_s);
  put(line, "seconds", metrics.seconds);
  put(line, "memory", metrics.memory);
  line += ",\"attempt\":" + std::to_string(metrics.attempt);
  line += ",\"skipped\":" + std::to_string(metrics.skipped);
  line += ",\"damaged\":" + std::to_string(metrics.damaged);
  return line + "}";
}

MetricsFile::MetricsFile(const std::filesystem::path& file, std::int64_t last_step) : path_(file.string()) {
  if (std::filesystem::exists(file)) {
    const std::string before = io::read_file(path_);
    std::string kept;
    std::istringstream lines(before);
    for (std::string line; std::getline(lines, line);) {
      if (step_of(line) <= last_step) kept += line + "\n";
    }
    if (kept != before) io::replace_file(path_, kept);
  }
  file_.open(file, std::ios::app);
  if (!file_) throw io::system_error(path_, "open it for appending", errno);
}

void MetricsFile::append(const StepMetrics& metrics) {
  // Lines for a file that is gone would be lost without a word, and checkpoints with them.
  if (!std::filesystem::exists(path_)) {
    throw Error(
        "this file of the running run is gone.", path_,
        "Leave the run's folder where it is while it trains; start again, with --resume if its checkpoints "
        "are still there.");
  }
  file_ << to_json(metrics) + "\n" << std::flush;
  if (!file_) throw io::system_error(path_, "write to it", errno);
}

double proportional_memory() {
  std::ifstream file("/proc/self/smaps_rollup");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("Pss:")) return 1024.0 * std::strtod(line.c_str() + 4, nullptr);
  }
  return 0;
}

}  // namespace tessera::train
