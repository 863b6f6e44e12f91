// Kind "pixart_iddpm_loss": the training loss at recorded steps with recorded noise, and the process's
// tables.

#include <cmath>

#include "cases.hpp"
#include "ops/accumulate.hpp"
#include "ops/graph.hpp"
#include "plugin/noise_schedule.hpp"

namespace tessera::parity {
namespace {

void check_tables(const Fixture& fixture, Comparison& comparison) {
  const NoiseSchedule schedule = NoiseSchedule::linear(1000, 1e-4, 0.02);
  const auto check = [&](const char* name, const auto& value) {
    std::vector<double> table;
    for (std::int64_t step = 0; step < schedule.steps(); ++step) table.push_back(value(step));
    comparison.check(Quantity::output, std::string("tables/") + name, table,
                     fixture.values(std::string("tables/") + name));
  };
  const auto level = [&](std::int64_t step) { return schedule.at(static_cast<double>(step)); };
  check("betas", [&](std::int64_t i) { return schedule.beta(i); });
  check("alphas_cumprod", [&](std::int64_t i) { return schedule.alpha_bar(i); });
  check("posterior_variance", [&](std::int64_t i) { return schedule.posterior(i).variance; });
  check("posterior_log_variance_clipped", [&](std::int64_t i) { return schedule.posterior(i).log_variance; });
  check("posterior_mean_coef1", [&](std::int64_t i) { return schedule.posterior(i).from_x0; });
  check("posterior_mean_coef2", [&](std::int64_t i) { return schedule.posterior(i).from_x; });
  check("sqrt_recip_alphas_cumprod", [&](std::int64_t i) { return 1.0 / level(i).alpha(); });
  check("sqrt_recipm1_alphas_cumprod", [&](std::int64_t i) { return level(i).sigma(); });
}

}  // namespace

void run_pixart_iddpm_loss(const Fixture& fixture, ReferenceModel& model, Comparison* comparison) {
  const DType type = model.store->precision().residual;
  const auto objective = pixart_objective(model, 0);
  const Tensor latents = fixture.tensor("inputs/x_start", type);
  const std::int64_t batch = latents.shape()[0];
  const Shape text = fixture.shape("inputs/y");  // [batch, 1, length, width]
  const std::vector<std::int32_t> steps = fixture.integers("inputs/timestep");
  const ObjectiveDraws draws{
      Tensor::from_host(std::vector<std::int64_t>(steps.begin(), steps.end()), {batch}),
      fixture.tensor("random/noise", type)};
  const ops::Variable captions(fixture.tensor("inputs/y", type).view({batch, text[2], text[3]}));
  model.store->clear_gradients();
  const ObjectiveLoss loss =
      objective->loss(*model.backbone, {latents, {{captions, pixart_lengths(fixture)}, {}}, nullptr}, draws);
  const std::vector<double> share(static_cast<std::size_t>(batch), 1.0 / static_cast<double>(batch));
  ops::backward(loss.per_image, ops::converted(Tensor::from_host(share, {batch}), loss.per_image.dtype()));
  if (comparison == nullptr) return;

  check_tables(fixture, *comparison);
  comparison->check(Quantity::output, "outputs/loss", loss.per_image.value(), fixture.values("outputs/loss"));
  double mean = 0;
  for (const double value : ops::converted(loss.per_image.value(), DType::f64).to_host<double>()) {
    mean += value / static_cast<double>(batch);
  }
  comparison->check(Quantity::output, "outputs/loss_mean", {mean}, fixture.values("outputs/loss_mean"));
  for (const auto& [name, value] : loss.parts) {
    comparison->check(Quantity::output, "outputs/" + name, value, fixture.values("outputs/" + name));
  }
  check_gradients(fixture, model, *comparison);
}

}  // namespace tessera::parity
