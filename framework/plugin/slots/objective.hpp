#pragma once
// Slot "objective": how a network learns to denoise. It takes its random draws as an argument, so recorded
// draws can be replayed, and it makes the denoiser that every sampler uses.

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/random.hpp"
#include "plugin/slots/backbone.hpp"

namespace tessera {

/// The random numbers of one micro-batch.
struct ObjectiveDraws {
  Tensor level;  ///< [batch] standard normals (EDM) or int64 timesteps (iDDPM)
  Tensor noise;  ///< [batch, channels, height, width] standard normals
};

struct TrainingBatch {
  Tensor latents;  ///< [batch, channels, height, width] in the residual type
  Condition condition;
  const TokenMask* mask = nullptr;
};

struct ObjectiveLoss {
  ops::Variable per_image;              ///< [batch]; the batch's loss is their sum over 1/B
  std::map<std::string, Tensor> parts;  ///< what a parity test compares: "sigma", "noisy", "denoised", ...
};

struct Denoised {
  std::vector<double> latent;  ///< x0
  /// Where the log-variance of a reverse step lies between its smallest (0, the posterior's) and its largest
  /// value (1, beta), per element; empty when the model predicts none (Nichol and Dhariwal 2021, eq. 15).
  std::vector<double> log_variance_fraction;
};

/// Predicts the clean latent; the one currency between objectives and samplers.
class Denoiser {
 public:
  virtual ~Denoiser() = default;
  /// x0 from x / alpha = x0 + sigma noise. x [batch, channels, height, width] float64 host values in and out.
  [[nodiscard]] virtual Denoised denoise(const std::vector<double>& x, double sigma) = 0;
  [[nodiscard]] virtual const Shape& shape() const = 0;  ///< of x
  [[nodiscard]] virtual double sigma_min() const = 0;
  [[nodiscard]] virtual double sigma_max() const = 0;
};

/// What to generate.
struct DenoiserRequest {
  Shape shape;                  ///< [batch, channels, height, width]
  std::vector<float> captions;  ///< [batch, length, caption_width]; empty for models without captions
  std::int64_t caption_width = 0;
  std::vector<std::int64_t> caption_lengths;  ///< real tokens [batch]; empty when every position counts
  PictureFacts facts;
  std::vector<float> control;  ///< latents of control maps, of this shape; empty for none
  double guidance = 1;         ///< out = null + guidance (conditional - null); at most 1 means none
};

class Objective {
 public:
  static constexpr const char* slot_name = "objective";
  struct Spec {};
  virtual ~Objective() = default;

  /// The draws of images [first, first + batch) of the global batch. The key's purpose is set inside.
  [[nodiscard]] virtual ObjectiveDraws draw(const RandomKey& key, std::uint64_t first, const Shape& latents,
                                            DType type) const = 0;
  [[nodiscard]] virtual ObjectiveLoss loss(const Backbone& network, const TrainingBatch& batch,
                                           const ObjectiveDraws& draws) const = 0;
  [[nodiscard]] virtual std::unique_ptr<Denoiser> denoiser(const Backbone& network,
                                                           const DenoiserRequest& request) const = 0;

 protected:
  /// ObjectiveDraws.noise for draw().
  [[nodiscard]] static Tensor draw_noise(const RandomKey& key, std::uint64_t first, const Shape& latents,
                                         DType type);
};

}  // namespace tessera
