#include "edm.hpp"

#include "compute/parallel.hpp"
#include "ops/accumulate.hpp"
#include "ops/elementwise.hpp"
#include "ops/loss.hpp"
#include "preconditioning.hpp"

namespace tessera {
namespace {

/// Per-image numbers [batch], and the two forms of the noisy latent.
struct Noised {
  Tensor sigma, skip, out, level, weight;
  Tensor noisy;  ///< z = x + sigma * noise
  Tensor input;  ///< c_in * z
};

template <class T>
Noised add_noise(const Tensor& latents, const ObjectiveDraws& draws, const EdmObjective::Settings& settings) {
  const std::int64_t batch = latents.shape()[0];
  const DType type = dtype_of<T>;
  Noised result{Tensor::empty({batch}, type),        Tensor::empty({batch}, type),
                Tensor::empty({batch}, type),        Tensor::empty({batch}, type),
                Tensor::empty({batch}, type),        Tensor::empty(latents.shape(), type),
                Tensor::empty(latents.shape(), type)};
  if (result.noisy.is_meta()) return result;
  const auto per_image = static_cast<std::size_t>(latents.numel() / batch);
  const T* x = latents.data<T>();
  const T* noise = draws.noise.data<T>();
  const T* normal = draws.level.data<T>();
  T *sigma = result.sigma.data<T>(), *skip = result.skip.data<T>(), *out = result.out.data<T>();
  T *level = result.level.data<T>(), *weight = result.weight.data<T>();
  T *noisy = result.noisy.data<T>(), *input = result.input.data<T>();
  const T mean = static_cast<T>(settings.p_mean);
  const T deviation = static_cast<T>(settings.p_std);
  const T sigma_data = static_cast<T>(settings.sigma_data);
  parallel_rows(
      batch, KOKKOS_LAMBDA(std::size_t b) {
        const T s = ::exp(mean + deviation * normal[b]);
        const edm::Coefficients<T> c = edm::coefficients(s, sigma_data);
        sigma[b] = s;
        skip[b] = c.skip;
        out[b] = c.out;
        level[b] = c.noise;
        weight[b] = c.weight;
        for (std::size_t i = b * per_image; i < (b + 1) * per_image; ++i) {
          noisy[i] = x[i] + s * noise[i];
          input[i] = c.in * noisy[i];
        }
      });
  return result;
}

}  // namespace

ObjectiveDraws EdmObjective::draw(const RandomKey& key, std::uint64_t first, const Shape& latents,
                                  DType type) const {
  RandomKey purpose = key;
  purpose.purpose = Purpose::sigma;
  const RandomStream stream(purpose);
  std::vector<float> level(static_cast<std::size_t>(latents[0]));
  for (std::size_t b = 0; b < level.size(); ++b) level[b] = normal(stream, first + b, 0);
  return {ops::converted(Tensor::from_host(level, {latents[0]}), type),
          draw_noise(key, first, latents, type)};
}

ObjectiveLoss EdmObjective::loss(const Backbone& network, const TrainingBatch& batch,
                                 const ObjectiveDraws& draws) const {
  const Noised noised = batch.latents.dtype() == DType::f64
                            ? add_noise<double>(batch.latents, draws, settings_)
                            : add_noise<float>(batch.latents, draws, settings_);
  const ops::Variable prediction =
      network.forward({ops::Variable(noised.input), noised.level, batch.condition, batch.mask});
  const ops::Variable denoised = ops::scale_add_per_image(prediction, noised.out, noised.noisy, noised.skip);
  ObjectiveLoss result;
  result.per_image =
      ops::squared_error(denoised, batch.latents, noised.weight,
                         batch.mask == nullptr ? Tensor() : batch.mask->removed, network.patch_size());
  result.parts = {{"sigma", noised.sigma}, {"noisy", noised.noisy}, {"denoised", denoised.value()}};
  return result;
}

std::unique_ptr<Denoiser> EdmObjective::denoiser(const Backbone& network,
                                                 const DenoiserRequest& request) const {
  return make_edm_denoiser(network, request, settings_);
}

}  // namespace tessera
