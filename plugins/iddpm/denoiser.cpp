#include <algorithm>
#include <cmath>
#include <limits>

#include "iddpm.hpp"
#include "plugin/guided_network.hpp"

namespace tessera {
namespace {

class IddpmDenoiser : public Denoiser {
 public:
  IddpmDenoiser(const Backbone& network, const DenoiserRequest& request, const NoiseSchedule& schedule,
                const IddpmObjective::Settings& settings)
      : schedule_(schedule),
        bound_(settings.clip_denoised > 0 ? settings.clip_denoised : std::numeric_limits<double>::infinity()),
        variance_(predicts_variance(network, request.shape[1])),
        network_(network, request, settings.guided_channels == 0 ? -1 : settings.guided_channels) {
    if (settings.guided_channels > request.shape[1]) {
      throw Error("guided_channels is " + std::to_string(settings.guided_channels) + " for latents of " +
                      std::to_string(request.shape[1]) + " channels",
                  "objective iddpm", "use 0 for all channels");
    }
  }

  Denoised denoise(const std::vector<double>& x, double sigma) override {
    const double alpha = 1.0 / std::hypot(1.0, sigma);
    std::vector<double> input(x.size());
    for (std::size_t i = 0; i < x.size(); ++i) input[i] = alpha * x[i];
    const std::vector<double> output = network_.evaluate(input, schedule_.time_of(sigma));

    Denoised result;
    result.latent.resize(x.size());
    if (variance_) result.log_variance_fraction.resize(x.size());
    const std::size_t images = static_cast<std::size_t>(shape()[0]);
    const std::size_t size = x.size() / images;
    const std::size_t output_size = output.size() / images;
    for (std::size_t i = 0; i < x.size(); ++i) {
      const std::size_t at = i / size * output_size + i % size;
      // std::clamp leaves a NaN alone: broken weights must not pass for a picture.
      result.latent[i] = std::clamp(x[i] - sigma * output[at], -bound_, bound_);
      if (variance_) result.log_variance_fraction[i] = 0.5 * (output[at + size] + 1.0);
    }
    return result;
  }

  const Shape& shape() const override { return network_.shape(); }
  double sigma_min() const override { return schedule_.at(0).sigma(); }
  double sigma_max() const override { return schedule_.at(static_cast<double>(schedule_.steps())).sigma(); }

 private:
  NoiseSchedule schedule_;
  double bound_;  ///< of every element of x0
  bool variance_;
  GuidedNetwork network_;
};

}  // namespace

std::unique_ptr<Denoiser> make_iddpm_denoiser(const Backbone& network, const DenoiserRequest& request,
                                              const NoiseSchedule& schedule,
                                              const IddpmObjective::Settings& settings) {
  return std::make_unique<IddpmDenoiser>(network, request, schedule, settings);
}

}  // namespace tessera
