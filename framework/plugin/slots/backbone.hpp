#pragma once
// Slot "backbone": the denoising network from noisy latent to prediction, the other model slots inside it.

#include <cstdint>

#include "nn/module.hpp"
#include "plugin/slots/caption_conditioner.hpp"
#include "plugin/slots/masking.hpp"

namespace tessera {

class Backbone : public nn::Module {
 public:
  static constexpr const char* slot_name = "backbone";
  struct Spec {
    std::int64_t channels = 0;  ///< of the latent
    std::int64_t caption_width = 0;
    std::int64_t caption_length = 0;
  };
  struct Input {
    ops::Variable latent;  ///< [batch, channels, height, width], scaled for the network (c_in z)
    Tensor noise_level;    ///< [batch] or [1]: what the noise embedding reads (ln(sigma)/4, or t)
    CaptionFeatures captions;
    const TokenMask* mask = nullptr;  ///< tokens to drop in training; null for all
  };
  /// [batch, output_channels, height, width] in the residual type; removed patches are zero.
  [[nodiscard]] virtual ops::Variable forward(const Input& input) const = 0;

  [[nodiscard]] virtual std::int64_t patch_size() const = 0;
  [[nodiscard]] virtual std::int64_t output_channels() const = 0;
  [[nodiscard]] virtual const CaptionConditioner& captions() const = 0;
  /// Divides position coordinates, so that a finer grid spans the range that earlier stages saw.
  virtual void set_position_scale(double scale) = 0;
};

}  // namespace tessera
