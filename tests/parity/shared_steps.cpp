// What several kinds of cases share: masks, a forward pass, gradients.

#include <cmath>

#include "cases.hpp"
#include "ops/accumulate.hpp"
#include "plugin/slots/masking.hpp"

namespace tessera::parity {

RecordedMask recorded_mask(const Fixture& fixture, const ReferenceModel& model, std::int64_t step,
                           Comparison* comparison) {
  if (!fixture.has("random/ids_keep")) return {};
  const Shape shape = fixture.shape("random/mask_noise");  // [(steps,) batch, tokens]
  const std::int64_t batch = shape[-2];
  const std::int64_t tokens = shape[-1];
  const std::int64_t kept = fixture.shape("random/ids_keep")[-1];
  const auto window = [&](const auto& all, std::int64_t size) {
    return std::vector(all.begin() + step * size, all.begin() + (step + 1) * size);
  };
  const std::vector<double> noise = window(fixture.values("random/mask_noise"), batch * tokens);
  const std::vector<float> uniform(noise.begin(), noise.end());
  const auto side = static_cast<std::int64_t>(std::lround(std::sqrt(static_cast<double>(tokens))));

  ConfigTree tree;
  tree.set("masking.name", FieldValue(std::string("random")));
  Assembly assembly(model.assembly->registry(), tree);
  const auto masking = assembly.make<Masking>("masking", {});
  RecordedMask result{make_token_mask(*masking, uniform, batch, side, tokens / side, kept), true};
  if (comparison != nullptr) {
    const auto compare = [&](const char* name, const Tensor& actual, std::int64_t size) {
      const std::vector<std::int32_t> expected =
          window(fixture.integers(std::string("random/") + name), size);
      const std::vector<std::int32_t> made = actual.to_host<std::int32_t>();
      comparison->check(Quantity::output, name, std::vector<double>(made.begin(), made.end()),
                        std::vector<double>(expected.begin(), expected.end()));
    };
    compare("ids_keep", result.mask.keep, batch * kept);
    compare("ids_restore", result.mask.restore, batch * tokens);
  }
  return result;
}

void check_forward(const Fixture& fixture, ReferenceModel& model, const Backbone::Input& input,
                   const std::string& output_name, Comparison* comparison) {
  model.store->clear_gradients();
  const ops::Variable output = model.backbone->forward(input);
  std::vector<double> weight = fixture.values("random/loss_weight");
  for (double& value : weight) value /= static_cast<double>(weight.size());
  ops::backward(output, ops::converted(Tensor::from_host(weight, output.shape()), output.dtype()));
  if (comparison == nullptr) return;

  comparison->check(Quantity::output, output_name, output.value(), fixture.values(output_name));
  const std::vector<double> sample = ops::converted(output.value(), DType::f64).to_host<double>();
  double loss = 0;
  double size = 0;
  for (std::size_t i = 0; i < sample.size(); ++i) {
    loss += sample[i] * weight[i];
    size += std::abs(sample[i] * weight[i]);
  }
  comparison->check(Quantity::output, "outputs/loss", {loss}, fixture.values("outputs/loss"), size);
  check_gradients(fixture, model, *comparison);
  comparison->check(Quantity::gradient, "grad_inputs/x", input.latent.gradient(),
                    fixture.values("grad_inputs/x"));
  comparison->check(Quantity::gradient, "grad_inputs/y", input.condition.captions.features.gradient(),
                    fixture.values("grad_inputs/y"));
}

void check_gradients(const Fixture& fixture, const ReferenceModel& model, Comparison& comparison) {
  for (const nn::ParameterSlot& slot : model.store->trainable_slots()) {
    comparison.check(Quantity::gradient, "grads/" + slot.name, slot.parameter->master().gradient(),
                     fixture.values("grads/" + slot.name));
  }
}

}  // namespace tessera::parity
