#include "nn/patch.hpp"

#include <cmath>

#include "ops/elementwise.hpp"
#include "ops/linear.hpp"
#include "ops/tokens.hpp"

namespace tessera::nn {

PatchEmbedding::PatchEmbedding(std::int64_t channels, std::int64_t width, std::int64_t patch,
                               bool uniform_bias)
    : patch_(patch),
      weight_(declare("proj.weight", {width, channels, patch, patch},
                      Initializer::xavier_uniform(channels * patch * patch, width), {.exact = true})),
      bias_(declare("proj.bias", {width},
                    uniform_bias
                        ? Initializer::uniform(1.0 / std::sqrt(static_cast<double>(channels * patch * patch)))
                        : Initializer::constant(0),
                    {.exact = true})) {}

ops::Variable PatchEmbedding::forward(const ops::Variable& latent) const {
  const Shape& shape = weight_.shape();
  const ops::Variable matrix = ops::reshape(weight_.master(), {shape[0], shape[1] * shape[2] * shape[3]});
  const ops::Variable patches = ops::patchify(latent, patch_);
  return ops::linear(patches, matrix, bias_.master(), precision().residual);
}

}  // namespace tessera::nn
