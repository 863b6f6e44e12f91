// Sampler "iddpm": ancestral sampling of the respaced process (Ho et al. 2020, algorithm 2; Nichol and
// Dhariwal 2021), with the variance that the model predicts, or else the posterior's. x0 is not clipped.

#include "plugin/abi.hpp"
#include "plugin/respacing.hpp"

namespace tessera {
namespace {

class IddpmSampler : public Sampler {
 public:
  IddpmSampler(const Respacing& respacing, NoiseSchedule schedule)
      : respacing_(respacing), schedule_(std::move(schedule)) {}

  int default_steps() const override { return respacing_.default_steps(); }

  std::vector<double> sample(Denoiser& denoiser, const NoiseSource& noise, int steps,
                             const SamplerTrace& trace) const override {
    return run_discrete(denoiser, schedule_, respacing_, noise, steps, trace,
                        [&](const ReverseUpdate& update) { return next(update, noise); });
  }

 private:
  static std::vector<double> next(const ReverseUpdate& update, const NoiseSource& noise) {
    const Posterior posterior = update.process.posterior(update.step);
    const std::vector<double>& x0 = update.denoised.latent;
    const std::vector<double>& fraction = update.denoised.log_variance_fraction;
    std::vector<double> x(x0.size());
    for (std::size_t i = 0; i < x.size(); ++i) {
      x[i] = posterior.from_x0 * x0[i] + posterior.from_x * update.x[i];
    }
    if (update.step == 0) return x;
    const std::vector<double> normals = noise(update.draw);
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double share = fraction.empty() ? 0.0 : fraction[i];
      const double log_variance = share * posterior.log_beta + (1.0 - share) * posterior.log_variance;
      x[i] += std::exp(0.5 * log_variance) * normals[i];
    }
    return x;
  }

  Respacing respacing_;
  NoiseSchedule schedule_;
};

void list(std::vector<Component>& out) {
  Schema schema("iddpm", "Ancestral sampling of the diffusion process, or of a part of its steps");
  Respacing::describe(schema, 100);
  NoiseSchedule::describe(schema);
  out.push_back(
      component<Sampler>(std::move(schema), [](const Config& config, const Sampler::Spec&, Assembly&) {
        return std::make_unique<IddpmSampler>(Respacing(config), NoiseSchedule::from(config));
      }));
}

}  // namespace
}  // namespace tessera

TESSERA_PLUGIN("iddpm_sampler", "1.0", tessera::list)
