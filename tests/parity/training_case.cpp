// Kind "microdit_train": several optimizer steps on the masked loss.

#include <algorithm>
#include <cmath>

#include "cases.hpp"
#include "ops/accumulate.hpp"
#include "ops/graph.hpp"
#include "train/adamw.hpp"
#include "train/learning_rate.hpp"

namespace tessera::parity {
namespace {

struct Recorded {
  std::vector<double> all;
  std::int64_t size;
  [[nodiscard]] std::vector<double> at(std::int64_t step) const {
    return {all.begin() + step * size, all.begin() + (step + 1) * size};
  }
};

Recorded recorded(const Fixture& fixture, const std::string& name, std::int64_t steps) {
  return {fixture.values(name), fixture.shape(name).numel() / steps};
}

}  // namespace

void run_training(const Fixture& fixture, ReferenceModel& model, Comparison* comparison) {
  const auto& optimizer_config = model.config.at("optimizer");
  const auto& schedule_config = model.config.at("schedule");
  const auto steps = model.config.at("steps").get<std::int64_t>();
  const auto smoothing = model.config.at("ema_smoothing").get<double>();
  const auto clip = model.config.at("clip_norm").get<double>();
  const train::LearningRateSettings schedule{.rate = optimizer_config.at("lr").get<double>(),
                                             .schedule = "cosine",
                                             .warmup = schedule_config.at("t_warmup").get<std::int64_t>(),
                                             .decay_steps = schedule_config.at("t_max").get<std::int64_t>(),
                                             .floor = schedule_config.at("alpha_f").get<double>()};
  train::AdamW optimizer(*model.store,
                         {.weight_decay = optimizer_config.at("weight_decay").get<double>(),
                          .beta1 = optimizer_config.at("betas").at(0).get<double>(),
                          .beta2 = optimizer_config.at("betas").at(1).get<double>(),
                          .eps = optimizer_config.at("eps").get<double>()},
                         true);

  const DType type = model.store->precision().residual;
  const Shape latent_shape = fixture.shape("inputs/latents");  // [steps, batch, channels, height, width]
  const Shape text = fixture.shape("inputs/captions");         // [steps, batch, 1, length, width]
  const std::int64_t batch = latent_shape[1];
  const Shape one{batch, latent_shape[2], latent_shape[3], latent_shape[4]};
  const Recorded latents = recorded(fixture, "inputs/latents", steps);
  const Recorded captions = recorded(fixture, "inputs/captions", steps);
  const Recorded drops = recorded(fixture, "inputs/drop_caption_mask", steps);
  const Recorded levels = recorded(fixture, "random/rnd_normal", steps);
  const Recorded noises = recorded(fixture, "random/noise", steps);

  std::vector<double> losses;
  std::vector<double> norms;
  std::vector<double> clips;
  std::vector<double> rates;
  for (std::int64_t step = 0; step < steps; ++step) {
    const RecordedMask mask = recorded_mask(fixture, model, step, comparison);
    std::vector<double> kept_captions = captions.at(step);
    const std::vector<double> keep = drops.at(step);
    const std::size_t per_caption = kept_captions.size() / keep.size();
    for (std::size_t i = 0; i < kept_captions.size(); ++i) kept_captions[i] *= keep[i / per_caption];
    const auto tensor = [&](const std::vector<double>& values, const Shape& shape) {
      return ops::converted(Tensor::from_host(values, shape), type);
    };
    model.store->clear_gradients();
    const ObjectiveLoss loss =
        model.objective->loss(*model.backbone,
                              {tensor(latents.at(step), one),
                               {{ops::Variable(tensor(kept_captions, {batch, text[3], text[4]})), {}}, {}},
                               mask.get()},
                              {tensor(levels.at(step), {batch}), tensor(noises.at(step), one)});
    const std::vector<double> share(static_cast<std::size_t>(batch), 1.0 / static_cast<double>(batch));
    ops::backward(loss.per_image, ops::converted(Tensor::from_host(share, {batch}), loss.per_image.dtype()));
    model.store->zero_missing_gradients();

    double mean = 0;
    for (const double value : ops::converted(loss.per_image.value(), DType::f64).to_host<double>()) {
      mean += value / static_cast<double>(batch);
    }
    double squares = 0;
    for (const double value : ops::converted(model.store->gradients(), DType::f64).to_host<double>()) {
      squares += value * value;
    }
    losses.push_back(mean);
    norms.push_back(std::sqrt(squares));
    clips.push_back(std::min(1.0, clip / (norms.back() + 1e-6)));
    rates.push_back(train::learning_rate(schedule, step));
    optimizer.update(
        {.learning_rate = rates.back(), .gradient_scale = clips.back(), .average_smoothing = smoothing});
  }
  if (comparison == nullptr) return;
  comparison->check(Quantity::output, "outputs/lr", rates, fixture.values("outputs/lr"));
  comparison->check(Quantity::output, "outputs/loss", losses, fixture.values("outputs/loss"));
  comparison->check(Quantity::output, "outputs/grad_norm", norms, fixture.values("outputs/grad_norm"));
  comparison->check(Quantity::output, "outputs/clip_coef", clips, fixture.values("outputs/clip_coef"));
  for (const nn::ParameterSlot& slot : model.store->slots()) {
    comparison->check(Quantity::output, "params_final/" + slot.name,
                      model.store->view(model.store->values(), slot),
                      fixture.values("params_final/" + slot.name));
    comparison->check(Quantity::output, "params_ema/" + slot.name,
                      model.store->view(optimizer.average(), slot),
                      fixture.values("params_ema/" + slot.name));
  }
}

}  // namespace tessera::parity
