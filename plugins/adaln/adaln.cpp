// Modulation "adaln": every block maps the conditioning vector to its own six vectors (adaLN-Zero of DiT;
// MicroDiT with GELU as the activation).

#include <memory>
#include <vector>

#include "nn/layers.hpp"
#include "ops/elementwise.hpp"
#include "plugin/abi.hpp"
#include "plugin/slots/modulation.hpp"

namespace tessera {
namespace {

/// linear(activated condition) as [batch, vectors, width], under the published name "adaLN_modulation.1".
class VectorMap : public nn::Module {
 public:
  VectorMap(std::int64_t condition_width, std::int64_t vectors, std::int64_t width)
      : vectors_(vectors),
        width_(width),
        map_(condition_width, vectors * width, true, nn::Initializer::constant(0), {.exact = true}) {
    add_child("adaLN_modulation.1", map_);
  }
  ops::Variable forward(const ops::Variable& activated) const {
    return ops::reshape(map_.forward_exact(activated), {activated.shape()[0], vectors_, width_});
  }

 private:
  std::int64_t vectors_;
  std::int64_t width_;
  nn::Linear map_;
};

class AdaLn : public Modulation {
 public:
  AdaLn(const Config& config, const Spec& spec) : silu_(config.get<std::string>("activation") == "silu") {
    for (std::int64_t i = 0; i < spec.blocks; ++i) {
      blocks_.push_back(std::make_unique<VectorMap>(spec.condition_width, 6, spec.width));
    }
    if (spec.final_layer) final_ = std::make_unique<VectorMap>(spec.condition_width, 2, spec.width);
  }

  ops::Variable prepare(const ops::Variable& condition) const override {
    return silu_ ? ops::silu(condition) : ops::gelu_tanh(condition);
  }
  ops::Variable block_vectors(const ops::Variable& prepared, std::int64_t block) const override {
    return blocks_.at(static_cast<std::size_t>(block))->forward(prepared);
  }
  ops::Variable final_vectors(const ops::Variable& prepared, const ops::Variable&) const override {
    return final_->forward(prepared);
  }

  nn::Module& block_parameters(std::int64_t block) override {
    return *blocks_.at(static_cast<std::size_t>(block));
  }
  nn::Module* final_parameters() override { return final_.get(); }

 private:
  bool silu_;
  std::vector<std::unique_ptr<VectorMap>> blocks_;
  std::unique_ptr<VectorMap> final_;
};

void list(std::vector<Component>& out) {
  Schema schema("adaln", "One linear map per block from the conditioning vector to shifts, scales and gates");
  schema.string("activation", "gelu")
      .choices({"gelu", "silu"})
      .help("Applied to the conditioning vector first: MicroDiT uses GELU (tanh formula), DiT SiLU.");
  out.push_back(component<Modulation>(std::move(schema),
                                      [](const Config& config, const Modulation::Spec& spec, Assembly&) {
                                        return std::make_unique<AdaLn>(config, spec);
                                      }));
}

}  // namespace
}  // namespace tessera

TESSERA_PLUGIN("adaln", "1.0", tessera::list)
