// Feed-forward "gelu-mlp": fc2(gelu(fc1 x)) (DiT, PixArt-alpha; the MicroDiT paper's GELU ablation).

#include "nn/mlp.hpp"
#include "ops/elementwise.hpp"
#include "plugin/abi.hpp"
#include "plugin/slots/feed_forward.hpp"

namespace tessera {
namespace {

class GeluMlp : public FeedForward {
 public:
  GeluMlp(const Config& config, const Spec& spec)
      : tanh_(config.get<std::string>("approximation") == "tanh"),
        input_(spec.width, hidden(config, spec), config.get<bool>("bias"), spec.input),
        output_(input_.out(), spec.width, config.get<bool>("bias"), spec.output) {
    add_child("fc1", input_);
    add_child("fc2", output_);
  }
  ops::Variable forward(const ops::Variable& x) const override {
    const ops::Variable hidden_units = input_.forward(x);
    return output_.forward(tanh_ ? ops::gelu_tanh(hidden_units) : ops::gelu_erf(hidden_units));
  }

 private:
  static std::int64_t hidden(const Config& config, const Spec& spec) {
    return nn::round_up(static_cast<std::int64_t>(static_cast<double>(spec.width) * spec.ratio),
                        config.get<std::int64_t>("multiple_of"));
  }

  bool tanh_;
  nn::Linear input_;
  nn::Linear output_;
};

void list(std::vector<Component>& out) {
  Schema schema("gelu-mlp", "Two-matrix feed-forward fc2(gelu(fc1 x))");
  schema.integer("multiple_of", 1).at_least(1).help("The hidden width is rounded up to a multiple of this.");
  schema.boolean("bias", true).help("Whether both matrices have biases.");
  schema.string("approximation", "tanh").choices({"tanh", "erf"}).help("GELU by the tanh formula, or exact.");
  out.push_back(component<FeedForward>(std::move(schema),
                                       [](const Config& config, const FeedForward::Spec& spec, Assembly&) {
                                         return std::make_unique<GeluMlp>(config, spec);
                                       }));
}

}  // namespace
}  // namespace tessera

TESSERA_PLUGIN("gelu_mlp", "1.0", tessera::list)
