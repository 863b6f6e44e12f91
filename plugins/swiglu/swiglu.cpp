// Feed-forward "swiglu": w3(silu(w1 x) * (w2 x)) (Shazeer 2020; MicroDiT's dense blocks).

#include "nn/mlp.hpp"
#include "plugin/abi.hpp"
#include "plugin/slots/feed_forward.hpp"

namespace tessera {
namespace {

class SwiGluFeedForward : public FeedForward {
 public:
  SwiGluFeedForward(const Config& config, const Spec& spec)
      : layer_(spec.width, spec.ratio, config.get<std::int64_t>("multiple_of"), config.get<bool>("bias"),
               spec.input, spec.output, spec.output) {
    add_child("", layer_);
  }
  ops::Variable forward(const ops::Variable& x) const override { return layer_.forward(x); }

 private:
  nn::SwiGlu layer_;
};

void list(std::vector<Component>& out) {
  Schema schema("swiglu", "Gated feed-forward w3(silu(w1 x) * (w2 x))");
  schema.integer("multiple_of", 256).at_least(1).help("Hidden widths are rounded up to a multiple of this.");
  schema.boolean("bias", false).help("Whether the three matrices have biases.");
  out.push_back(component<FeedForward>(std::move(schema),
                                       [](const Config& config, const FeedForward::Spec& spec, Assembly&) {
                                         return std::make_unique<SwiGluFeedForward>(config, spec);
                                       }));
}

}  // namespace
}  // namespace tessera

TESSERA_PLUGIN("swiglu", "1.0", tessera::list)
