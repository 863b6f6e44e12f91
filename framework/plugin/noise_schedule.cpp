#include "plugin/noise_schedule.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>

#include "base/error.hpp"

namespace tessera {

NoiseSchedule::NoiseSchedule(const std::vector<double>& betas) : betas_(betas) {
  if (betas.size() < 2) throw Error("a noise schedule needs at least two steps");
  double product = 1;
  double sum = 0;
  for (const double beta : betas) {
    if (!(beta > 0 && beta < 1)) {
      throw Error("a noise schedule has the beta " + std::to_string(beta), {},
                  "every beta lies between 0 and 1");
    }
    product *= 1.0 - beta;
    sum += std::log1p(-beta);
    alpha_bars_.push_back(product);
    log_alphas_.push_back(0.5 * sum);
  }
}

NoiseSchedule NoiseSchedule::linear(std::int64_t steps, double beta_start, double beta_end) {
  std::vector<double> betas;
  for (std::int64_t i = 0; i < steps; ++i) {
    const double fraction = steps == 1 ? 0.0 : static_cast<double>(i) / static_cast<double>(steps - 1);
    betas.push_back(beta_start + fraction * (beta_end - beta_start));
  }
  return NoiseSchedule(betas);
}

void NoiseSchedule::describe(Schema& schema) {
  schema.integer("diffusion_steps", 1000).range(2, 1e6).help("Steps of the discrete diffusion process.");
  schema.number("beta_start", 1e-4).range(1e-12, 0.999).help("Variance that the first of them adds.");
  schema.number("beta_end", 0.02)
      .range(1e-12, 0.999)
      .help("Variance that the last adds; linear in between. A sampler and the objective usually agree.");
}

NoiseSchedule NoiseSchedule::from(const Config& config) {
  const double start = config.get<double>("beta_start");
  const double end = config.get<double>("beta_end");
  if (start > end)
    throw Error("beta_start is above beta_end", config.where("beta_start"), "exchange the two");
  return linear(config.get<std::int64_t>("diffusion_steps"), start, end);
}

std::size_t NoiseSchedule::index(std::int64_t step) const {
  if (step < 0 || step >= steps()) {
    throw std::out_of_range("step " + std::to_string(step) + " of a noise schedule of " +
                            std::to_string(steps()));
  }
  return static_cast<std::size_t>(step);
}

Posterior NoiseSchedule::posterior(std::int64_t step) const {
  const double before = alpha_bar_before(step);
  const double left = 1.0 - alpha_bar(step);
  Posterior result;
  result.from_x0 = beta(step) * std::sqrt(before) / left;
  result.from_x = (1.0 - before) * std::sqrt(1.0 - beta(step)) / left;
  result.variance = beta(step) * (1.0 - before) / left;
  result.log_variance = step == 0 ? posterior(1).log_variance : std::log(result.variance);
  result.log_beta = std::log(beta(step));
  return result;
}

NoiseLevel NoiseSchedule::at(double time) const {
  const double last = static_cast<double>(steps() - 1);
  const double limited = std::clamp(time, 0.0, last);
  const auto below = static_cast<std::size_t>(std::min(std::floor(limited), last - 1.0));
  const double fraction = limited - static_cast<double>(below);
  return {limited, log_alphas_[below] + fraction * (log_alphas_[below + 1] - log_alphas_[below])};
}

double NoiseSchedule::time_of(double sigma) const {
  const double log_alpha = -0.5 * std::log1p(sigma * sigma);
  // ln(alpha) falls with time: the first knot not above the level asked for ends its interval.
  const auto end = std::partition_point(log_alphas_.begin() + 1, log_alphas_.end() - 1,
                                        [&](double knot) { return knot > log_alpha; });
  const double right = *end;
  const double left = *(end - 1);
  const double fraction = (log_alpha - left) / (right - left);
  const double time = static_cast<double>(end - 1 - log_alphas_.begin()) + fraction;
  return std::clamp(time, 0.0, static_cast<double>(steps() - 1));
}

NoiseSchedule NoiseSchedule::respaced(const std::vector<std::int64_t>& kept) const {
  std::vector<double> betas;
  double before = 1;
  for (const std::int64_t step : kept) {
    betas.push_back(1.0 - alpha_bar(step) / before);
    before = alpha_bar(step);
  }
  return NoiseSchedule(betas);
}

}  // namespace tessera
