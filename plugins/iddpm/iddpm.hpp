#pragma once
// Invariant: the loss of an image depends on its own latent, caption and draws only.

#include "plugin/noise_schedule.hpp"
#include "plugin/slots/objective.hpp"

namespace tessera {

/// Improved DDPM (Nichol and Dhariwal 2021) as PixArt-alpha trains it: the squared error of the predicted
/// noise and, when the network has twice the latent's channels, the variational bound of the variance that
/// the others predict. With a mask, both are averaged over the kept tokens of each image.
/// ObjectiveDraws.level holds int64 steps of the process.
class IddpmObjective : public Objective {
 public:
  struct Settings {
    double bound_weight;           ///< of the variational bound against the squared error
    std::int64_t guided_channels;  ///< of the latent, from the first; 0 for all
    double clip_denoised;          ///< bound of every element of a predicted x0; 0 for none
  };
  IddpmObjective(NoiseSchedule schedule, const Settings& settings)
      : schedule_(std::move(schedule)), settings_(settings) {}

  [[nodiscard]] ObjectiveDraws draw(const RandomKey& key, std::uint64_t first, const Shape& latents,
                                    DType type) const override;
  /// Parts: "x_t", "model_output", "mse" and, with a predicted variance, "vb".
  [[nodiscard]] ObjectiveLoss loss(const Backbone& network, const TrainingBatch& batch,
                                   const ObjectiveDraws& draws) const override;
  [[nodiscard]] std::unique_ptr<Denoiser> denoiser(const Backbone& network,
                                                   const DenoiserRequest& request) const override;

 private:
  NoiseSchedule schedule_;
  Settings settings_;
};

/// True when the network predicts a variance beside the noise. @throws Error when it has neither `channels`
/// nor twice as many outputs.
[[nodiscard]] bool predicts_variance(const Backbone& network, std::int64_t channels);

/// The denoiser of a network trained so; guidance acts on the predicted noise. Does not refer to the
/// objective.
[[nodiscard]] std::unique_ptr<Denoiser> make_iddpm_denoiser(const Backbone& network,
                                                            const DenoiserRequest& request,
                                                            const NoiseSchedule& schedule,
                                                            const IddpmObjective::Settings& settings);

}  // namespace tessera
