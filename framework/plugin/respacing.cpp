#include "plugin/respacing.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.hpp"

namespace tessera {

std::vector<std::int64_t> even_steps(std::int64_t range, const std::vector<std::int64_t>& counts) {
  const auto parts = static_cast<std::int64_t>(counts.size());
  std::vector<std::int64_t> steps;
  std::int64_t start = 0;
  for (std::int64_t part = 0; part < parts; ++part) {
    const std::int64_t count = counts[static_cast<std::size_t>(part)];
    const std::int64_t size = range / parts + (part < range % parts ? 1 : 0);
    if (count > size) {
      throw Error(std::to_string(count) + " steps cannot be taken from " + std::to_string(size) +
                      " of the diffusion process",
                  "sampler", "take fewer steps");
    }
    const double stride = count <= 1 ? 1.0 : static_cast<double>(size - 1) / static_cast<double>(count - 1);
    // Summed, and halves rounded to even, as published: it decides between neighbours.
    double place = 0;
    for (std::int64_t i = 0; i < count; ++i, place += stride) {
      steps.push_back(start + static_cast<std::int64_t>(std::nearbyint(place)));
    }
    start += size;
  }
  return steps;
}

std::vector<std::int64_t> strided_steps(std::int64_t range, std::int64_t count) {
  std::int64_t nearest = range;
  for (std::int64_t stride = 1; stride < range; ++stride) {
    const std::int64_t reached = (range + stride - 1) / stride;
    if (reached == count) {
      std::vector<std::int64_t> steps;
      for (std::int64_t step = 0; step < range; step += stride) steps.push_back(step);
      return steps;
    }
    if (std::abs(reached - count) < std::abs(nearest - count)) nearest = reached;
  }
  throw Error("no whole stride through " + std::to_string(range) + " steps of the diffusion process gives " +
                  std::to_string(count),
              "sampler", "take " + std::to_string(nearest) + " steps, or spacing \"even\"");
}

void Respacing::describe(Schema& schema, std::int64_t default_steps) {
  schema.integer("steps", default_steps).range(2, 1e6).help("Default number of steps.");
  schema.string("spacing", "even")
      .choices({"even", "stride"})
      .help("Which steps of the diffusion process: even, with its first and last; or every n-th from 0 on.");
  schema.integers("sections", {})
      .at_least(1)
      .help("Steps in each of equal parts of the process, the cleanest first, in the place of steps.");
}

Respacing::Respacing(const Config& config)
    : steps_(config.get<std::int64_t>("steps")),
      strided_(config.get<std::string>("spacing") == "stride"),
      sections_(config.get<std::vector<std::int64_t>>("sections")) {
  if (sections_.empty()) return;
  if (strided_) {
    throw Error("sections are spaced evenly, not by a stride", config.where("sections"),
                "leave one of spacing and sections out");
  }
  steps_ = std::accumulate(sections_.begin(), sections_.end(), std::int64_t{0});
  if (steps_ < 2) {
    throw Error("sections gives fewer than two steps", config.where("sections"), "take more");
  }
}

int Respacing::default_steps() const { return static_cast<int>(steps_); }

std::vector<std::int64_t> Respacing::steps(int steps, std::int64_t first, std::int64_t last) const {
  const std::int64_t count = steps == 0 ? steps_ : steps;
  if (count < 2) throw Error("the sampler needs at least two steps, not " + std::to_string(count), "sampler");
  if (!sections_.empty() && count != steps_) {
    throw Error("the sampler's sections give " + std::to_string(steps_) + " steps, and " +
                    std::to_string(count) + " are asked for",
                "sampler", "ask for no number of steps, or leave sections out");
  }
  const std::int64_t range = last - first + 1;
  std::vector<std::int64_t> taken =
      strided_ ? strided_steps(range, count)
               : even_steps(range, sections_.empty() ? std::vector<std::int64_t>{count} : sections_);
  for (std::int64_t& step : taken) step += first;
  return taken;
}

std::vector<double> run_discrete(
    Denoiser& denoiser, const NoiseSchedule& schedule, const Respacing& respacing, const NoiseSource& noise,
    int steps, const SamplerTrace& trace,
    const std::function<std::vector<double>(const ReverseUpdate& update)>& next) {
  const ScaledDenoiser scaled(denoiser, schedule, trace);
  // The ends of the denoiser's range come through logarithms and back.
  constexpr double rounding = 1e-6;
  const auto first = static_cast<std::int64_t>(std::ceil(scaled.first_time() - rounding));
  const auto last = static_cast<std::int64_t>(std::floor(scaled.last_time() + rounding));
  const std::vector<std::int64_t> visited = respacing.steps(steps, first, last);
  const NoiseSchedule process = schedule.respaced(visited);
  const auto count = static_cast<int>(visited.size());
  std::vector<double> x = noise(0);
  for (int done = 0; done < count; ++done) {
    const int step = count - 1 - done;
    const auto time = static_cast<double>(visited[static_cast<std::size_t>(step)]);
    const Denoised denoised = scaled.denoise(x, schedule.at(time));
    x = next({process, step, x, denoised, done + 1});
    if (trace.after_step) trace.after_step(done, count, x);
  }
  return x;
}

}  // namespace tessera
