// Sampler "dpm-solver++": DPM-Solver++(2M) (Lu et al. 2022b, algorithm 2) on steps of equal time: two values
// of x0 extrapolate the next step. One network call a step; ends at the schedule's first level, not at 0.

#include "plugin/abi.hpp"
#include "plugin/scaled_denoiser.hpp"

namespace tessera {
namespace {

class DpmSolver : public Sampler {
 public:
  DpmSolver(int steps, NoiseSchedule schedule) : steps_(steps), schedule_(std::move(schedule)) {}

  int default_steps() const override { return steps_; }

  std::vector<double> sample(Denoiser& denoiser, const NoiseSource& noise, int steps,
                             const SamplerTrace& trace) const override {
    const ScaledDenoiser scaled(denoiser, schedule_, trace);
    const int count = steps == 0 ? steps_ : steps;
    const std::vector<NoiseLevel> levels = scaled.uniform_levels(count);
    std::vector<double> x = noise(0);
    std::vector<double> older;
    double older_width = 0;
    for (int step = 0; step < count; ++step) {
      const NoiseLevel& now = levels[static_cast<std::size_t>(step)];
      const NoiseLevel& next = levels[static_cast<std::size_t>(step) + 1];
      std::vector<double> x0 = scaled.denoise(x, now).latent;
      const double width = next.half_log_snr() - now.half_log_snr();
      const double keep = next.deviation() / now.deviation();
      const double take = -next.alpha() * std::expm1(-width);
      // A short run ends with a step of first order, as published: the last levels lie far apart.
      const bool first_order = step == 0 || (step + 1 == count && count < short_run);
      const double slope = first_order ? 0.0 : width / (2.0 * older_width);
      for (std::size_t i = 0; i < x.size(); ++i) {
        const double ahead = first_order ? x0[i] : x0[i] + slope * (x0[i] - older[i]);
        x[i] = keep * x[i] + take * ahead;
      }
      older = std::move(x0);
      older_width = width;
      if (trace.after_step) trace.after_step(step, count, x);
    }
    return x;
  }

 private:
  static constexpr int short_run = 10;

  int steps_;
  NoiseSchedule schedule_;
};

void list(std::vector<Component>& out) {
  Schema schema("dpm-solver++", "DPM-Solver++(2M), deterministic, second order: one network call a step");
  schema.integer("steps", 20).range(1, 10000).help("Default number of steps.");
  NoiseSchedule::describe(schema);
  out.push_back(
      component<Sampler>(std::move(schema), [](const Config& config, const Sampler::Spec&, Assembly&) {
        return std::make_unique<DpmSolver>(static_cast<int>(config.get<std::int64_t>("steps")),
                                           NoiseSchedule::from(config));
      }));
}

}  // namespace
}  // namespace tessera

TESSERA_PLUGIN("dpm_solver", "1.0", tessera::list)
