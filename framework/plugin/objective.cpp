#include "plugin/slots/objective.hpp"

#include "ops/accumulate.hpp"

namespace tessera {

Tensor Objective::draw_noise(const RandomKey& key, std::uint64_t first, const Shape& latents, DType type) {
  const auto batch = static_cast<std::size_t>(latents[0]);
  const auto per_image = static_cast<std::size_t>(latents.numel()) / batch;
  RandomKey purpose = key;
  purpose.purpose = Purpose::noise;
  const RandomStream stream(purpose);
  std::vector<float> noise(batch * per_image);
  for (std::size_t b = 0; b < batch; ++b) {
    fill_normal(stream, first + b, 0, noise.data() + b * per_image, per_image);
  }
  return ops::converted(Tensor::from_host(noise, latents), type);
}

}  // namespace tessera
