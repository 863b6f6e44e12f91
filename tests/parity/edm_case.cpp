// Kind "microdit_edm_loss": the training loss with recorded noise, masked and unmasked.

#include "cases.hpp"
#include "ops/accumulate.hpp"
#include "ops/graph.hpp"

namespace tessera::parity {

void run_edm_loss(const Fixture& fixture, ReferenceModel& model, Comparison* comparison) {
  const DType type = model.store->precision().residual;
  const RecordedMask mask = recorded_mask(fixture, model, 0, comparison);
  const Tensor latents = fixture.tensor("inputs/latents", type);
  const std::int64_t batch = latents.shape()[0];
  const Shape text = fixture.shape("inputs/captions");
  const ops::Variable captions =
      ops::Variable::leaf(fixture.tensor("inputs/captions", type).view({batch, text[2], text[3]}));
  const ObjectiveDraws draws{fixture.tensor("random/rnd_normal", type).view({batch}),
                             fixture.tensor("random/noise", type)};
  model.store->clear_gradients();
  const ObjectiveLoss loss =
      model.objective->loss(*model.backbone, {latents, {{captions, {}}, {}}, mask.get()}, draws);
  const std::vector<double> share(static_cast<std::size_t>(batch), 1.0 / static_cast<double>(batch));
  ops::backward(loss.per_image, ops::converted(Tensor::from_host(share, {batch}), loss.per_image.dtype()));
  if (comparison == nullptr) return;

  double mean = 0;
  for (const double value : ops::converted(loss.per_image.value(), DType::f64).to_host<double>()) {
    mean += value / static_cast<double>(batch);
  }
  comparison->check(Quantity::output, "outputs/loss", {mean}, fixture.values("outputs/loss"));
  for (const auto& [name, value] : loss.parts) {
    comparison->check(Quantity::output, "outputs/" + name, value, fixture.values("outputs/" + name));
  }
  check_gradients(fixture, model, *comparison);
  comparison->check(Quantity::gradient, "grad_inputs/captions", captions.gradient(),
                    fixture.values("grad_inputs/captions"));
}

}  // namespace tessera::parity
