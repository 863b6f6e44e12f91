// Kind "microdit_forward": one forward pass and the gradients of mean(output * weight).

#include "cases.hpp"

namespace tessera::parity {

void run_microdit_forward(const Fixture& fixture, ReferenceModel& model, Comparison* comparison) {
  const DType type = model.store->precision().residual;
  const RecordedMask mask = recorded_mask(fixture, model, 0, comparison);
  const ops::Variable latent = ops::Variable::leaf(fixture.tensor("inputs/x", type));
  const Shape text = fixture.shape("inputs/y");  // [batch, 1, length, width]
  const ops::Variable captions =
      ops::Variable::leaf(fixture.tensor("inputs/y", type).view({text[0], text[2], text[3]}));
  check_forward(fixture, model, {latent, fixture.tensor("inputs/t", type), {{captions, {}}, {}}, mask.get()},
                "outputs/sample", comparison);
}

}  // namespace tessera::parity
