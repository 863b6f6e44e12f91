#pragma once
// Invariant: the loss of an image depends on its own latent, caption and draws only.

#include "plugin/slots/objective.hpp"

namespace tessera {

/// Denoising score matching in the formulation of EDM (Karras et al. 2022), with the published models'
/// masked loss: squared error averaged over the kept tokens of each image.
class EdmObjective : public Objective {
 public:
  struct Settings {
    double p_mean, p_std;  ///< ln(sigma) ~ N(p_mean, p_std^2)
    double sigma_data;
    double sigma_min, sigma_max;  ///< range that samplers may use
  };
  explicit EdmObjective(const Settings& settings) : settings_(settings) {}

  [[nodiscard]] ObjectiveDraws draw(const RandomKey& key, std::uint64_t first, const Shape& latents,
                                    DType type) const override;
  [[nodiscard]] ObjectiveLoss loss(const Backbone& network, const TrainingBatch& batch,
                                   const ObjectiveDraws& draws) const override;
  [[nodiscard]] std::unique_ptr<Denoiser> denoiser(const Backbone& network,
                                                   const DenoiserRequest& request) const override;

 private:
  Settings settings_;
};

/// The denoiser of an EDM-trained network, with classifier-free guidance on the raw network output.
[[nodiscard]] std::unique_ptr<Denoiser> make_edm_denoiser(const Backbone& network,
                                                          const DenoiserRequest& request,
                                                          const EdmObjective::Settings& settings);

}  // namespace tessera
