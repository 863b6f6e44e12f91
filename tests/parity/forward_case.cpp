// Kind "microdit_forward": one forward pass and the gradients of mean(output * weight).

#include <cmath>

#include "cases.hpp"
#include "ops/accumulate.hpp"
#include "ops/graph.hpp"

namespace tessera::parity {

void run_forward(const Fixture& fixture, ReferenceModel& model, Comparison* comparison) {
  const DType type = model.store->precision().residual;
  const RecordedMask mask = recorded_mask(fixture, model, 0, comparison);
  const ops::Variable latent = ops::Variable::leaf(fixture.tensor("inputs/x", type));
  const Shape text = fixture.shape("inputs/y");  // [batch, 1, length, width]
  const ops::Variable captions =
      ops::Variable::leaf(fixture.tensor("inputs/y", type).view({text[0], text[2], text[3]}));
  model.store->clear_gradients();
  const ops::Variable output =
      model.backbone->forward({latent, fixture.tensor("inputs/t", type), {{captions, {}}, {}}, mask.get()});

  std::vector<double> weight = fixture.values("random/loss_weight");
  for (double& value : weight) value /= static_cast<double>(weight.size());
  ops::backward(output, ops::converted(Tensor::from_host(weight, output.shape()), output.dtype()));
  if (comparison == nullptr) return;

  comparison->check(Quantity::output, "outputs/sample", output.value(), fixture.values("outputs/sample"));
  const std::vector<double> sample = ops::converted(output.value(), DType::f64).to_host<double>();
  double loss = 0;
  double size = 0;
  for (std::size_t i = 0; i < sample.size(); ++i) {
    loss += sample[i] * weight[i];
    size += std::abs(sample[i] * weight[i]);
  }
  comparison->check(Quantity::output, "outputs/loss", {loss}, fixture.values("outputs/loss"), size);
  check_gradients(fixture, model, *comparison);
  comparison->check(Quantity::gradient, "grad_inputs/x", latent.gradient(), fixture.values("grad_inputs/x"));
  comparison->check(Quantity::gradient, "grad_inputs/y", captions.gradient(),
                    fixture.values("grad_inputs/y"));
}

}  // namespace tessera::parity
