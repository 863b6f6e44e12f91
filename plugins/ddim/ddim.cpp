// Sampler "ddim": denoising diffusion implicit models (Song et al. 2021, eq. 12 and 16), deterministic at
// eta 0, ancestral sampling with the posterior's variance at eta 1. x0 is not clipped.

#include "plugin/abi.hpp"
#include "plugin/respacing.hpp"

namespace tessera {
namespace {

class Ddim : public Sampler {
 public:
  Ddim(const Respacing& respacing, double eta, NoiseSchedule schedule)
      : respacing_(respacing), eta_(eta), schedule_(std::move(schedule)) {}

  int default_steps() const override { return respacing_.default_steps(); }

  std::vector<double> sample(Denoiser& denoiser, const NoiseSource& noise, int steps,
                             const SamplerTrace& trace) const override {
    return run_discrete(denoiser, schedule_, respacing_, noise, steps, trace,
                        [&](const ReverseUpdate& update) { return next(update, noise); });
  }

 private:
  [[nodiscard]] std::vector<double> next(const ReverseUpdate& update, const NoiseSource& noise) const {
    const double now = update.process.alpha_bar(update.step);
    const double before = update.process.alpha_bar_before(update.step);
    const double deviation = eta_ * std::sqrt(update.process.posterior(update.step).variance);
    const double direction = std::sqrt(1.0 - before - deviation * deviation);
    const std::vector<double>& x0 = update.denoised.latent;
    std::vector<double> x(x0.size());
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double epsilon = (update.x[i] - std::sqrt(now) * x0[i]) / std::sqrt(1.0 - now);
      x[i] = std::sqrt(before) * x0[i] + direction * epsilon;
    }
    if (deviation > 0) {
      const std::vector<double> normals = noise(update.draw);
      for (std::size_t i = 0; i < x.size(); ++i) x[i] += deviation * normals[i];
    }
    return x;
  }

  Respacing respacing_;
  double eta_;
  NoiseSchedule schedule_;
};

void list(std::vector<Component>& out) {
  Schema schema("ddim", "DDIM, deterministic or partly stochastic, first order: one network call a step");
  Respacing::describe(schema, 50);
  schema.number("eta", 0.0).range(0, 1).help("Share of the ancestral noise: 0 solves the ODE.");
  NoiseSchedule::describe(schema);
  out.push_back(component<Sampler>(std::move(schema), [](const Config& config, const Sampler::Spec&,
                                                         Assembly&) {
    return std::make_unique<Ddim>(Respacing(config), config.get<double>("eta"), NoiseSchedule::from(config));
  }));
}

}  // namespace
}  // namespace tessera

TESSERA_PLUGIN("ddim", "1.0", tessera::list)
