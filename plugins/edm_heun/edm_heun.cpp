// Sampler "edm-heun": the deterministic second-order sampler of EDM (Karras et al. 2022, algorithm 1).

#include <algorithm>
#include <cmath>

#include "base/error.hpp"
#include "plugin/abi.hpp"
#include "plugin/slots/sampler.hpp"

namespace tessera {
namespace {

class EdmHeun : public Sampler {
 public:
  EdmHeun(int steps, double rho, double sigma_min, double sigma_max)
      : steps_(steps), rho_(rho), sigma_min_(sigma_min), sigma_max_(sigma_max) {}

  int default_steps() const override { return steps_; }

  std::vector<double> sample(Denoiser& denoiser, const NoiseSource& noise, int steps,
                             const SamplerTrace& trace) const override {
    const std::vector<double> sigmas = levels(denoiser, steps == 0 ? steps_ : steps);
    const int count = static_cast<int>(sigmas.size()) - 1;
    std::vector<double> x = noise(0);
    for (double& value : x) value *= sigmas[0];

    for (int step = 0; step < count; ++step) {
      const double now = sigmas[static_cast<std::size_t>(step)];
      const double next = sigmas[static_cast<std::size_t>(step) + 1];
      const std::vector<double> denoised = call(denoiser, x, now, trace);
      std::vector<double> slope(x.size());
      std::vector<double> moved(x.size());
      for (std::size_t i = 0; i < x.size(); ++i) {
        slope[i] = (x[i] - denoised[i]) / now;
        moved[i] = x[i] + (next - now) * slope[i];
      }
      if (step + 1 < count) {  // the last step ends at sigma = 0, where the slope is undefined
        const std::vector<double> again = call(denoiser, moved, next, trace);
        for (std::size_t i = 0; i < x.size(); ++i) {
          const double corrected = (moved[i] - again[i]) / next;
          moved[i] = x[i] + (next - now) * (0.5 * slope[i] + 0.5 * corrected);
        }
      }
      x = std::move(moved);
      if (trace.after_step) trace.after_step(step, count, x);
    }
    return x;
  }

 private:
  static std::vector<double> call(Denoiser& denoiser, const std::vector<double>& x, double sigma,
                                  const SamplerTrace& trace) {
    std::vector<double> denoised = denoiser.denoise(x, sigma).latent;
    if (trace.after_call) trace.after_call(sigma, x, denoised);
    return denoised;
  }

  /// sigma_i = (max^(1/rho) + i/(n-1) (min^(1/rho) - max^(1/rho)))^rho, then 0, within the denoiser's range.
  std::vector<double> levels(const Denoiser& denoiser, int steps) const {
    if (steps < 1) throw Error("a sampler needs at least one step, not " + std::to_string(steps));
    const double highest = std::pow(std::min(sigma_max_, denoiser.sigma_max()), 1.0 / rho_);
    const double lowest = std::pow(std::max(sigma_min_, denoiser.sigma_min()), 1.0 / rho_);
    std::vector<double> sigmas;
    for (int i = 0; i < steps; ++i) {
      const double fraction = steps == 1 ? 0.0 : static_cast<double>(i) / static_cast<double>(steps - 1);
      sigmas.push_back(std::pow(highest + fraction * (lowest - highest), rho_));
    }
    sigmas.push_back(0.0);
    return sigmas;
  }

  int steps_;
  double rho_;
  double sigma_min_;
  double sigma_max_;
};

void list(std::vector<Component>& out) {
  Schema schema("edm-heun", "EDM's deterministic second-order sampler: 2 steps - 1 network calls");
  schema.integer("steps", 30).range(1, 10000).help("Default number of steps.");
  schema.number("rho", 7.0).range(0.1, 100).help("Larger values put more steps near sigma_min.");
  schema.number("sigma_min", 0.002).range(1e-9, 1e9).help("Last noise level before 0.");
  schema.number("sigma_max", 80.0).range(1e-9, 1e9).help("First noise level.");
  out.push_back(
      component<Sampler>(std::move(schema), [](const Config& config, const Sampler::Spec&, Assembly&) {
        return std::make_unique<EdmHeun>(static_cast<int>(config.get<std::int64_t>("steps")),
                                         config.get<double>("rho"), config.get<double>("sigma_min"),
                                         config.get<double>("sigma_max"));
      }));
}

}  // namespace
}  // namespace tessera

TESSERA_PLUGIN("edm_heun", "1.0", tessera::list)
