#pragma once
// Data of independent normals N(mean, deviation^2), whose exact denoiser and whose exact paths from noise to
// data are known.

#include <cmath>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "plugin/assembly.hpp"
#include "plugin/slots/sampler.hpp"

namespace tessera::test {

class GaussianDenoiser : public Denoiser {
 public:
  GaussianDenoiser(std::size_t size, double mean, double deviation)
      : shape_{1, 1, 1, static_cast<std::int64_t>(size)}, mean_(mean), variance_(deviation * deviation) {}

  Denoised denoise(const std::vector<double>& x, double sigma) override {
    asked.push_back(sigma);
    Denoised result;
    const double noise = sigma * sigma;
    for (const double value : x) {
      result.latent.push_back((variance_ * value + noise * mean_) / (variance_ + noise));
    }
    if (fraction >= 0) result.log_variance_fraction.assign(x.size(), fraction);
    return result;
  }
  const Shape& shape() const override { return shape_; }
  double sigma_min() const override { return lowest; }
  double sigma_max() const override { return highest; }

  /// Where the probability flow dx/dsigma = (x - D)/sigma leads from x at sigma `from`.
  [[nodiscard]] double flow(double x, double from, double to) const {
    return mean_ + (x - mean_) * std::sqrt((variance_ + to * to) / (variance_ + from * from));
  }

  double lowest = 0;
  double highest = 1e9;
  double fraction = -1;  ///< predicted log-variance fraction; below 0: none is predicted
  std::vector<double> asked;

 private:
  Shape shape_;
  double mean_;
  double variance_;
};

/// @param settings  "eta = 0.5"
inline std::unique_ptr<Sampler> make_sampler(const std::string& name, const std::string& settings = {}) {
  static const Registry registry = Registry::with_installed_plugins();
  Assembly assembly(registry,
                    ConfigTree::parse("[sampler]\nname = \"" + name + "\"\n" + settings, "sampler.toml"));
  return assembly.make<Sampler>("sampler", {});
}

/// A run of a sampler with everything that it showed.
struct SampledRun {
  std::vector<double> final;
  std::vector<std::vector<double>> states;
  std::vector<double> sigmas;
  std::vector<std::vector<double>> inputs, denoised;
};

inline SampledRun run_sampler(const Sampler& sampler, Denoiser& denoiser, const NoiseSource& noise,
                              int steps) {
  SampledRun run;
  SamplerTrace trace;
  trace.after_step = [&](int, int, const std::vector<double>& state) { run.states.push_back(state); };
  trace.after_call = [&](double sigma, const std::vector<double>& input, const std::vector<double>& result) {
    run.sigmas.push_back(sigma);
    run.inputs.push_back(input);
    run.denoised.push_back(result);
  };
  run.final = sampler.sample(denoiser, noise, steps, trace);
  return run;
}

/// How a sampler with a linear denoiser responds to its draws, exactly: element k + 1 of the noise is 1 in
/// draw k and 0 in the others, element 0 is 0 always. Then the final element 0 is the mean over all draws,
/// and the variance over them is the sum of the squared distances of the others from it.
struct Moments {
  double mean = 0, variance = 0;
};
inline Moments exact_moments(const Sampler& sampler, double mean, double deviation, int steps,
                             double fraction = -1) {
  const auto size = static_cast<std::size_t>(steps) + 2;
  GaussianDenoiser denoiser(size, mean, deviation);
  denoiser.fraction = fraction;
  const NoiseSource noise = [&](int draw) {
    std::vector<double> normals(size);
    normals.at(static_cast<std::size_t>(draw) + 1) = 1;
    return normals;
  };
  const std::vector<double> final = sampler.sample(denoiser, noise, steps, {});
  Moments moments{final[0], 0};
  for (std::size_t i = 1; i < size; ++i) moments.variance += (final[i] - final[0]) * (final[i] - final[0]);
  return moments;
}

}  // namespace tessera::test
