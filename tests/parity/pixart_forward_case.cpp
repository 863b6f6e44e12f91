// Kind "pixart_forward": one forward pass of PixArt, PixArtMS or PixArt with a ControlNet, with text lengths,
// its gradients, the pass without lengths, and the conditioners by themselves.

#include "cases.hpp"
#include "nn/embeddings.hpp"
#include "ops/graph.hpp"

namespace tessera::parity {
namespace {

/// [a[i], b[i]] for every row i.
std::vector<double> joined(const Fixture& fixture, const std::string& a, const std::string& b) {
  const std::vector<double> left = fixture.values(a);
  const std::vector<double> right = fixture.values(b);
  const auto rows = static_cast<std::ptrdiff_t>(fixture.shape(a)[0]);
  const auto left_width = static_cast<std::ptrdiff_t>(left.size()) / rows;
  const auto right_width = static_cast<std::ptrdiff_t>(right.size()) / rows;
  std::vector<double> all;
  for (std::ptrdiff_t row = 0; row < rows; ++row) {
    all.insert(all.end(), left.begin() + row * left_width, left.begin() + (row + 1) * left_width);
    all.insert(all.end(), right.begin() + row * right_width, right.begin() + (row + 1) * right_width);
  }
  return all;
}

void check_positions(const Fixture& fixture, const ReferenceModel& model, const Shape& latent,
                     Comparison& comparison) {
  const PositionGrid grid = pixart_positions(model.config);
  const std::int64_t patch = model.backbone->patch_size();
  const std::vector<float> table = nn::sincos_positions(
      latent[2] / patch, latent[3] / patch, model.config.at("model").at("hidden_size").get<std::int64_t>(),
      grid.scale, grid.base);
  const char* const used = "intermediates/pos_embed_used";
  const std::string name = fixture.has(used) ? used : "buffers/pos_embed";
  comparison.check(Quantity::output, name, std::vector<double>(table.begin(), table.end()),
                   fixture.values(name));
}

void check_conditioners(const Fixture& fixture, const ReferenceModel& model, const Condition& condition,
                        Comparison& comparison) {
  const ops::NoGradScope no_grad;
  const CaptionFeatures every_position{condition.captions.features, {}};
  comparison.check(Quantity::output, "intermediates/y_embedder",
                   model.backbone->captions()->forward(every_position).context.tokens.value(),
                   fixture.values("intermediates/y_embedder"));
  const AuxiliaryConditioner* auxiliary = model.backbone->auxiliary();
  if (auxiliary == nullptr) return;
  comparison.check(Quantity::output, "intermediates/csize_embedder, ar_embedder",
                   auxiliary->forward(condition.facts).value(),
                   joined(fixture, "intermediates/csize_embedder", "intermediates/ar_embedder"));
}

}  // namespace

void run_pixart_forward(const Fixture& fixture, ReferenceModel& model, Comparison* comparison) {
  const DType type = model.store->precision().residual;
  const Shape text = fixture.shape("inputs/y");  // [batch, 1, length, width]
  Backbone::Input input{
      ops::Variable::leaf(fixture.tensor("inputs/x", type)),
      fixture.tensor("inputs/timestep", type),
      {{ops::Variable::leaf(fixture.tensor("inputs/y", type).view({text[0], text[2], text[3]})),
        pixart_lengths(fixture)},
       pixart_facts(fixture),
       fixture.has("inputs/c") ? fixture.tensor("inputs/c", type) : Tensor()}};
  check_forward(fixture, model, input, "outputs/out", comparison);
  if (comparison == nullptr) return;
  check_positions(fixture, model, input.latent.shape(), *comparison);
  check_conditioners(fixture, model, input.condition, *comparison);
  const ops::NoGradScope no_grad;
  input.condition.captions.lengths.clear();
  comparison->check(Quantity::output, "outputs/out_nomask", model.backbone->forward(input).value(),
                    fixture.values("outputs/out_nomask"));
}

}  // namespace tessera::parity
