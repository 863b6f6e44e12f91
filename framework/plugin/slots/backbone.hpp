#pragma once
// Slot "backbone": the denoising network from noisy latent to prediction, the other model slots inside it.

#include <cstdint>

#include "nn/module.hpp"
#include "plugin/slots/auxiliary_conditioner.hpp"
#include "plugin/slots/caption_conditioner.hpp"
#include "plugin/slots/masking.hpp"

namespace tessera {

class BlockStack;

/// Coordinates of the patches of a grid of n rows (or columns): u(i) = i / (n / base) / scale, so that every
/// axis spans [0, base / scale).
struct PositionGrid {
  double scale = 1;
  std::int64_t base = 0;  ///< patches along a side of the stage's square picture; 0: u(i) = i / scale
  friend bool operator==(const PositionGrid&, const PositionGrid&) = default;
};

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
    Condition condition;
    const TokenMask* mask = nullptr;  ///< tokens to drop in training; null for all
  };
  /// [batch, output_channels, height, width] in the residual type; removed patches are zero.
  [[nodiscard]] virtual ops::Variable forward(const Input& input) const = 0;

  [[nodiscard]] virtual std::int64_t patch_size() const = 0;
  [[nodiscard]] virtual std::int64_t output_channels() const = 0;
  /// Null when the model reads no captions.
  [[nodiscard]] virtual const CaptionConditioner* captions() const = 0;
  /// Null when the model has none.
  [[nodiscard]] virtual const AuxiliaryConditioner* auxiliary() const = 0;
  /// A finer grid may span the range that earlier stages saw.
  virtual void set_positions(const PositionGrid& grid) = 0;

  /// Where adapters act on the blocks; null when there is no such place.
  [[nodiscard]] virtual BlockStack* blocks() { return nullptr; }
  /// Makes the parameters of an adapter part of the model, under `name`. The module lives as long as the
  /// model is used.
  void add_parameters(std::string name, nn::Module& module) { add_child(std::move(name), module); }
};

}  // namespace tessera
