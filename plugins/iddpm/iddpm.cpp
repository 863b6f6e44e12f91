#include "iddpm.hpp"

#include "ops/accumulate.hpp"
#include "ops/channels.hpp"
#include "ops/elementwise.hpp"
#include "ops/loss.hpp"
#include "ops/variational_bound.hpp"

namespace tessera {
namespace {

/// Constants of each image's step, [batch].
struct StepConstants {
  Tensor time, alpha, deviation;
  ops::ReverseSteps reverse;
};

/// One number per image.
template <class F>
Tensor per_image(const std::vector<std::int64_t>& steps, DType type, const F& value) {
  std::vector<double> values;
  for (const std::int64_t step : steps) values.push_back(value(step));
  return ops::converted(Tensor::from_host(values, {static_cast<std::int64_t>(steps.size())}), type);
}

StepConstants constants_of(const NoiseSchedule& schedule, const Tensor& level, DType type) {
  const std::vector<std::int64_t> steps =
      level.is_meta() ? std::vector<std::int64_t>(static_cast<std::size_t>(level.numel()))
                      : level.to_host<std::int64_t>();
  for (const std::int64_t step : steps) {
    if (step < 0 || step >= schedule.steps()) {
      throw Error("the step " + std::to_string(step) + " is none of the diffusion process's " +
                      std::to_string(schedule.steps()),
                  "objective iddpm", "draw steps from 0 on");
    }
  }
  const auto level_at = [&](std::int64_t step) { return schedule.at(static_cast<double>(step)); };
  StepConstants c;
  c.time = per_image(steps, type, [](std::int64_t step) { return static_cast<double>(step); });
  c.alpha = per_image(steps, type, [&](std::int64_t step) { return level_at(step).alpha(); });
  c.deviation = per_image(steps, type, [&](std::int64_t step) { return level_at(step).deviation(); });
  // An error e of the predicted noise moves x0 by -sigma e.
  c.reverse.mean_distance = per_image(steps, type, [&](std::int64_t step) {
    return schedule.posterior(step).from_x0 * level_at(step).sigma();
  });
  c.reverse.log_variance_low =
      per_image(steps, type, [&](std::int64_t step) { return schedule.posterior(step).log_variance; });
  c.reverse.log_variance_high =
      per_image(steps, type, [&](std::int64_t step) { return schedule.posterior(step).log_beta; });
  c.reverse.is_last = per_image(steps, type, [](std::int64_t step) { return step == 0 ? 1.0 : 0.0; });
  return c;
}

}  // namespace

bool predicts_variance(const Backbone& network, std::int64_t channels) {
  const std::int64_t outputs = network.output_channels();
  if (outputs != channels && outputs != 2 * channels) {
    throw Error("the network has " + std::to_string(outputs) + " output channels for latents of " +
                    std::to_string(channels),
                "objective iddpm",
                "give the backbone " + std::to_string(channels) + ", or " + std::to_string(2 * channels) +
                    " to predict the variance too");
  }
  return outputs == 2 * channels;
}

ObjectiveDraws IddpmObjective::draw(const RandomKey& key, std::uint64_t first, const Shape& latents,
                                    DType type) const {
  RandomKey purpose = key;
  purpose.purpose = Purpose::timestep;
  const RandomStream stream(purpose);
  std::vector<std::int64_t> steps;
  for (std::uint64_t b = 0; b < static_cast<std::uint64_t>(latents[0]); ++b) {
    steps.push_back(static_cast<std::int64_t>(
        random_below(stream, first + b, 0, static_cast<std::uint64_t>(schedule_.steps()))));
  }
  return {Tensor::from_host(steps, {latents[0]}), draw_noise(key, first, latents, type)};
}

ObjectiveLoss IddpmObjective::loss(const Backbone& network, const TrainingBatch& batch,
                                   const ObjectiveDraws& draws) const {
  const std::int64_t channels = batch.latents.shape()[1];
  const bool variance = predicts_variance(network, channels);
  const DType type = batch.latents.dtype();
  const StepConstants c = constants_of(schedule_, draws.level, type);
  const Tensor x =
      ops::scale_add_per_image(ops::Variable(batch.latents), c.alpha, draws.noise, c.deviation).value();
  const ops::Variable output = network.forward({ops::Variable(x), c.time, batch.condition, batch.mask});

  const Tensor removed = batch.mask == nullptr ? Tensor() : batch.mask->removed;
  const std::int64_t patch = network.patch_size();
  const auto weight = [&](double value) {
    const std::vector<double> all(static_cast<std::size_t>(batch.latents.shape()[0]), value);
    return ops::converted(Tensor::from_host(all, c.time.shape()), type);
  };
  const ops::Variable epsilon = variance ? ops::channel_range(output, 0, channels) : output;
  const ops::Variable mse = ops::squared_error(epsilon, draws.noise, weight(1), removed, patch);
  ObjectiveLoss result;
  result.per_image = mse;
  result.parts = {{"x_t", x}, {"model_output", output.value()}, {"mse", mse.value()}};
  if (variance) {
    const ops::Variable bound =
        ops::variational_bound(ops::channel_range(output, channels, channels), epsilon.value(), draws.noise,
                               batch.latents, c.reverse, weight(settings_.bound_weight), removed, patch);
    result.per_image = ops::add(mse, bound);
    result.parts["vb"] = bound.value();
  }
  return result;
}

std::unique_ptr<Denoiser> IddpmObjective::denoiser(const Backbone& network,
                                                   const DenoiserRequest& request) const {
  return make_iddpm_denoiser(network, request, schedule_, settings_);
}

}  // namespace tessera
