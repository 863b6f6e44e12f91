#pragma once
// Invariant: the patch embedding is a convolution with kernel = stride = patch, computed as one product.

#include "nn/layers.hpp"

namespace tessera::nn {

/// [batch, channels, height, width] -> [batch, tokens, width], row-major tokens. "proj.weight" is
/// [width, channels, patch, patch], "proj.bias" [width].
class PatchEmbedding : public Module {
 public:
  /// @param uniform_bias  leaves the bias at a convolution's usual U(-1/sqrt(fan_in), 1/sqrt(fan_in)), as the
  ///                      published code does, instead of zero
  PatchEmbedding(std::int64_t channels, std::int64_t width, std::int64_t patch, bool uniform_bias);
  /// The result has the residual type; the product is exact, being a small part of the arithmetic.
  [[nodiscard]] ops::Variable forward(const ops::Variable& latent) const;

 private:
  std::int64_t patch_;
  Parameter& weight_;
  Parameter& bias_;
};

}  // namespace tessera::nn
