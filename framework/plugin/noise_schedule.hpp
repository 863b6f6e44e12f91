#pragma once
// Invariant: a NoiseSchedule is one discrete variance-preserving process x_i = sqrt(abar_i) x0 +
// sqrt(1 - abar_i) n, i = 0 .. steps - 1 (Ho et al. 2020), and its continuous extension, in which ln(alpha)
// is linear between the steps (Lu et al. 2022, DPM-Solver, on discrete-time models). Time is the number of
// the step, whole or not, as the network reads it. All in float64.

#include <cmath>
#include <cstdint>
#include <vector>

#include "base/config.hpp"
#include "base/schema.hpp"

namespace tessera {

/// One level x = alpha x0 + deviation n with alpha^2 + deviation^2 = 1.
struct NoiseLevel {
  double time = 0;
  double log_alpha = 0;

  [[nodiscard]] double alpha() const { return std::exp(log_alpha); }
  [[nodiscard]] double deviation() const { return std::sqrt(-std::expm1(2.0 * log_alpha)); }
  /// Noise per unit of signal, what a Denoiser is asked for: x / alpha = x0 + sigma n.
  [[nodiscard]] double sigma() const { return std::sqrt(std::expm1(-2.0 * log_alpha)); }
  /// lambda = ln(alpha / deviation).
  [[nodiscard]] double half_log_snr() const {
    return log_alpha - 0.5 * std::log(-std::expm1(2.0 * log_alpha));
  }
};

/// q(x_{i-1} | x_i, x0): a normal with mean from_x0 * x0 + from_x * x_i (Ho et al. 2020, eq. 6 and 7).
struct Posterior {
  double from_x0 = 0;
  double from_x = 0;
  double variance = 0;
  double log_variance = 0;  ///< that of step 1 at step 0, where the variance is 0
  double log_beta = 0;      ///< the largest log-variance that a model may choose
};

class NoiseSchedule {
 public:
  /// @param betas  of every step, between 0 and 1; at least two.
  explicit NoiseSchedule(const std::vector<double>& betas);
  static NoiseSchedule linear(std::int64_t steps, double beta_start, double beta_end);

  /// The settings that objectives and samplers of this process share: diffusion_steps, beta_start, beta_end.
  static void describe(Schema& schema);
  static NoiseSchedule from(const Config& config);

  [[nodiscard]] std::int64_t steps() const { return static_cast<std::int64_t>(betas_.size()); }
  [[nodiscard]] double beta(std::int64_t step) const { return betas_[index(step)]; }
  [[nodiscard]] double alpha_bar(std::int64_t step) const { return alpha_bars_[index(step)]; }
  /// 1 before step 0.
  [[nodiscard]] double alpha_bar_before(std::int64_t step) const {
    return step == 0 ? 1.0 : alpha_bar(step - 1);
  }
  [[nodiscard]] Posterior posterior(std::int64_t step) const;

  /// The level at a time, which is limited to [0, steps - 1].
  [[nodiscard]] NoiseLevel at(double time) const;
  /// The inverse of at(time).sigma(), limited to [0, steps - 1].
  [[nodiscard]] double time_of(double sigma) const;

  /// The process of the kept steps alone, with the betas that give the same alpha-bars (Nichol and Dhariwal
  /// 2021, section 4). @param kept  ascending; at least two.
  [[nodiscard]] NoiseSchedule respaced(const std::vector<std::int64_t>& kept) const;

 private:
  /// @throws std::out_of_range
  [[nodiscard]] std::size_t index(std::int64_t step) const;

  std::vector<double> betas_;
  std::vector<double> alpha_bars_;
  std::vector<double> log_alphas_;
};

}  // namespace tessera
