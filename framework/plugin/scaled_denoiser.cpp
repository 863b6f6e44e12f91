#include "plugin/scaled_denoiser.hpp"

#include <string>

#include "base/error.hpp"

namespace tessera {

ScaledDenoiser::ScaledDenoiser(Denoiser& denoiser, const NoiseSchedule& schedule, const SamplerTrace& trace)
    : denoiser_(denoiser),
      schedule_(schedule),
      trace_(trace),
      first_(schedule.time_of(denoiser.sigma_min())),
      last_(schedule.time_of(denoiser.sigma_max())) {
  if (!(first_ < last_)) {
    throw Error("the model denoises from noise level " + std::to_string(denoiser.sigma_min()) + " to " +
                    std::to_string(denoiser.sigma_max()) + ", the sampler goes from " +
                    std::to_string(schedule.at(0).sigma()) + " to " +
                    std::to_string(schedule.at(static_cast<double>(schedule.steps())).sigma()),
                "sampler", "set beta_start and beta_end of the sampler as the objective's");
  }
}

Denoised ScaledDenoiser::denoise(const std::vector<double>& x, const NoiseLevel& level) const {
  const double alpha = level.alpha();
  std::vector<double> unscaled(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) unscaled[i] = x[i] / alpha;
  Denoised denoised = denoiser_.denoise(unscaled, level.sigma());
  if (trace_.after_call) trace_.after_call(level.sigma(), unscaled, denoised.latent);
  return denoised;
}

std::vector<NoiseLevel> ScaledDenoiser::uniform_levels(int steps) const {
  if (steps < 1) throw Error("a sampler needs at least one step, not " + std::to_string(steps));
  std::vector<NoiseLevel> levels;
  for (int i = 0; i <= steps; ++i) {
    const double fraction = static_cast<double>(i) / static_cast<double>(steps);
    levels.push_back(schedule_.at(last_ + fraction * (first_ - last_)));
  }
  return levels;
}

}  // namespace tessera
