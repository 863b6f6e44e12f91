// Feed-forward "moe-expert-choice": every expert picks, per image, the k tokens that want it most (Zhou et
// al. 2022, "Mixture-of-experts with expert choice routing"; MicroDiT).

#include "nn/mlp.hpp"
#include "nn/routing_tape.hpp"
#include "ops/elementwise.hpp"
#include "ops/experts.hpp"
#include "ops/linear.hpp"
#include "ops/softmax.hpp"
#include "plugin/abi.hpp"
#include "plugin/slots/feed_forward.hpp"

namespace tessera {
namespace {

/// The two matrices of every expert, "w1" and "w2".
class ExpertMatrices : public nn::Module {
 public:
  ExpertMatrices(const Config& config, const FeedForward::Spec& spec)
      : experts_(config.get<std::int64_t>("experts")),
        hidden_(nn::round_up(static_cast<std::int64_t>(static_cast<double>(spec.width) * spec.ratio),
                             config.get<std::int64_t>("multiple_of"))),
        options_{.learning_rate_factor = config.get<double>("learning_rate_factor"), .expert = true},
        input_(declare("w1", {experts_, spec.width, hidden_}, spec.input.for_matrix(spec.width, hidden_),
                       options_)),
        output_(declare("w2", {experts_, hidden_, spec.width}, spec.output.for_matrix(hidden_, spec.width),
                        options_)) {}

  /// picked [experts, tokens, width], and the result likewise.
  [[nodiscard]] ops::Variable forward(const ops::Variable& picked) const {
    const ops::Variable hidden = ops::gelu_erf(ops::grouped_linear(picked, input_.value()));
    return ops::grouped_linear(hidden, output_.value());
  }

 private:
  std::int64_t experts_;
  std::int64_t hidden_;
  nn::ParameterOptions options_;
  nn::Parameter& input_;
  nn::Parameter& output_;
};

class ExpertChoice : public FeedForward {
 public:
  ExpertChoice(const Config& config, const Spec& spec)
      : experts_(config.get<std::int64_t>("experts")),
        capacity_(config.get<double>("capacity")),
        gate_(spec.width, experts_, false, spec.input),
        matrices_(config, spec) {
    // In the order of the forward pass: the large gradients of the matrices need not wait for the gate's.
    add_child("gate", gate_);
    add_child("", matrices_);
  }

  ops::Variable forward(const ops::Variable& x) const override {
    const std::int64_t tokens = x.shape()[1];
    // Softmax over the experts of each token, but top-k over the tokens of each expert.
    const ops::Variable probabilities = ops::softmax(gate_.forward_exact(x), precision().residual);
    const auto count =
        static_cast<std::int64_t>(capacity_ * static_cast<double>(tokens) / static_cast<double>(experts_));
    const Tensor chosen = nn::choose_tokens(probabilities.value(), std::min(count, tokens));
    const ops::Variable picked = ops::gather_chosen(ops::cast(x, precision().compute), chosen);
    return ops::scatter_chosen(matrices_.forward(picked), probabilities, chosen);
  }

 private:
  std::int64_t experts_;
  double capacity_;
  nn::Linear gate_;
  ExpertMatrices matrices_;
};

void list(std::vector<Component>& out) {
  Schema schema("moe-expert-choice", "Experts that each pick the tokens that want them most, per image");
  schema.integer("experts", 8).range(1, 1024).help("Number of experts.");
  schema.number("capacity", 2.0)
      .at_least(0)
      .help("Experts per token on average; k = int(capacity*tokens/experts).");
  schema.integer("multiple_of", 256).at_least(1).help("Hidden widths are rounded up to a multiple of this.");
  // The paper halves the experts' rate; the published trainer never does, because it looks for "moe" in
  // parameter names that do not contain it.
  schema.number("learning_rate_factor", 0.5)
      .range(0, 100)
      .help("Multiplies the learning rate of the expert matrices (paper 0.5, published code in effect 1).");
  out.push_back(component<FeedForward>(std::move(schema),
                                       [](const Config& config, const FeedForward::Spec& spec, Assembly&) {
                                         return std::make_unique<ExpertChoice>(config, spec);
                                       }));
}

}  // namespace
}  // namespace tessera

TESSERA_PLUGIN("moe_expert_choice", "1.0", tessera::list)
