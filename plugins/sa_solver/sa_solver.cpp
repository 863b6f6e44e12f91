// Sampler "sa-solver": SA-Solver (Xue et al. 2023), a stochastic Adams predictor and corrector of second
// order, on x0 and steps of equal time: predict, evaluate, correct; one network call a step.

#include "plugin/abi.hpp"
#include "plugin/scaled_denoiser.hpp"

namespace tessera {
namespace {

/// One step from level s to t under noise of strength tau. With g = 1 + tau^2 and width h in half log-SNR,
/// the exact solution is
///   x_t = e^(-tau^2 h) (deviation_t / deviation_s) x_s
///       + g deviation_t e^(-tau^2 l_t) integral of e^(g l) x0(l) dl + deviation_t sqrt(1 - e^(-2 tau^2 h)) n
/// where x0 moves linearly with l. The integral's weight on the slope of x0 is
/// e^(g l_t) (gh - 1 + e^(-gh)) / g^2; the paper's rescaling for few steps (appendix D), which the published
/// sampler uses, puts e^(g l_t) h^2 / 2, equal up to O(h^3), in its place, for predictor and corrector alike.
struct StepFactors {
  StepFactors(const NoiseLevel& from, const NoiseLevel& to, double tau)
      : width(to.half_log_snr() - from.half_log_snr()) {
    const double variance = tau * tau;
    keep = std::exp(-variance * width) * to.deviation() / from.deviation();
    value = -to.alpha() * std::expm1(-(1.0 + variance) * width);
    change = (1.0 + variance) * to.alpha() * width / 2.0;
    noise = to.deviation() * std::sqrt(-std::expm1(-2.0 * variance * width));
  }
  double width;
  double keep = 0;    ///< of x_s
  double value = 0;   ///< of x0 at s
  double change = 0;  ///< of the change of x0 over the step
  double noise = 0;   ///< of the normals
};

class SaSolver : public Sampler {
 public:
  SaSolver(int steps, double eta, NoiseSchedule schedule)
      : steps_(steps), eta_(eta), schedule_(std::move(schedule)) {}

  int default_steps() const override { return steps_; }

  std::vector<double> sample(Denoiser& denoiser, const NoiseSource& noise, int steps,
                             const SamplerTrace& trace) const override {
    const ScaledDenoiser scaled(denoiser, schedule_, trace);
    const int count = steps == 0 ? steps_ : steps;
    const std::vector<NoiseLevel> levels = scaled.uniform_levels(count);
    std::vector<double> x = noise(0);
    std::vector<double> x0 = scaled.denoise(x, levels[0]).latent;
    std::vector<double> older;
    double older_width = 0;
    for (int step = 1; step <= count; ++step) {
      const NoiseLevel& to = levels[static_cast<std::size_t>(step)];
      const bool last = step == count;
      const StepFactors factors(levels[static_cast<std::size_t>(step) - 1], to, last ? 0.0 : strength(to));
      std::vector<double> predicted = without_change(factors, x, x0, step, noise);
      const std::vector<double> base = predicted;
      if (step > 1 && !last) {  // the first and the last prediction are of first order
        const double slope = factors.change * factors.width / older_width;
        for (std::size_t i = 0; i < x.size(); ++i) predicted[i] += slope * (x0[i] - older[i]);
      }
      if (last) {
        x = std::move(predicted);
      } else {
        std::vector<double> reached = scaled.denoise(predicted, to).latent;
        for (std::size_t i = 0; i < x.size(); ++i) x[i] = base[i] + factors.change * (reached[i] - x0[i]);
        older = std::move(x0);
        x0 = std::move(reached);
        older_width = factors.width;
      }
      if (trace.after_step) trace.after_step(step - 1, count, x);
    }
    return x;
  }

 private:
  /// What predictor and corrector have in common, one draw of noise included.
  static std::vector<double> without_change(const StepFactors& factors, const std::vector<double>& x,
                                            const std::vector<double>& x0, int draw,
                                            const NoiseSource& noise) {
    std::vector<double> result(x.size());
    for (std::size_t i = 0; i < x.size(); ++i) result[i] = factors.keep * x[i] + factors.value * x0[i];
    if (factors.noise > 0) {
      const std::vector<double> normals = noise(draw);
      for (std::size_t i = 0; i < x.size(); ++i) result[i] += factors.noise * normals[i];
    }
    return result;
  }

  /// tau: noise in the middle of the process only, as published.
  [[nodiscard]] double strength(const NoiseLevel& level) const {
    const double share = (level.time + 1.0) / static_cast<double>(schedule_.steps());
    return share >= 0.2 && share <= 0.8 ? eta_ : 0.0;
  }

  int steps_;
  double eta_;
  NoiseSchedule schedule_;
};

void list(std::vector<Component>& out) {
  Schema schema("sa-solver", "SA-Solver, stochastic, second order: one network call a step");
  schema.integer("steps", 25).range(1, 10000).help("Default number of steps.");
  schema.number("eta", 1.0)
      .range(0, 10)
      .help("Strength tau of the noise added between 0.2 and 0.8 of the process; 0 solves the ODE.");
  NoiseSchedule::describe(schema);
  out.push_back(
      component<Sampler>(std::move(schema), [](const Config& config, const Sampler::Spec&, Assembly&) {
        return std::make_unique<SaSolver>(static_cast<int>(config.get<std::int64_t>("steps")),
                                          config.get<double>("eta"), NoiseSchedule::from(config));
      }));
}

}  // namespace
}  // namespace tessera

TESSERA_PLUGIN("sa_solver", "1.0", tessera::list)
