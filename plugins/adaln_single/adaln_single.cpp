// Modulation "adaln-single": one linear map of the conditioning vector serves all blocks, and each block adds
// a table of its own (PixArt-alpha, section 2.3).

#include <cmath>
#include <memory>
#include <vector>

#include "base/error.hpp"
#include "nn/layers.hpp"
#include "ops/elementwise.hpp"
#include "ops/rows.hpp"
#include "plugin/abi.hpp"
#include "plugin/slots/modulation.hpp"

namespace tessera {
namespace {

constexpr std::int64_t block_rows = 6;
constexpr std::int64_t final_rows = 2;

/// linear(silu(condition)) as [batch, 6, width], under the published name "t_block.1".
class SharedMap : public nn::Module {
 public:
  SharedMap(std::int64_t condition_width, std::int64_t width)
      : width_(width),
        map_(condition_width, block_rows * width, true, nn::Initializer::normal(0.02), {.exact = true}) {
    add_child("t_block.1", map_);
  }
  ops::Variable forward(const ops::Variable& condition) const {
    return ops::reshape(map_.forward_exact(ops::silu(condition)), {condition.shape()[0], block_rows, width_});
  }

 private:
  std::int64_t width_;
  nn::Linear map_;
};

/// What a block or the final layer adds: random at first, so gates start open.
class Table : public nn::Module {
 public:
  Table(std::int64_t rows, std::int64_t width)
      : table_(declare("scale_shift_table", {rows, width},
                       nn::Initializer::normal(1.0 / std::sqrt(static_cast<double>(width))),
                       {.exact = true})) {}
  ops::Variable forward(const ops::Variable& vectors) const {
    return ops::add_table(vectors, table_.master());
  }

 private:
  nn::Parameter& table_;
};

class AdaLnSingle : public Modulation {
 public:
  explicit AdaLnSingle(const Spec& spec) : shared_(spec.condition_width, spec.width) {
    if (spec.final_layer && spec.condition_width != spec.width) {
      throw Error("adaln-single adds the conditioning vector itself in the final layer: its width of " +
                      std::to_string(spec.condition_width) + " must be that of the tokens, " +
                      std::to_string(spec.width),
                  "[model.modulation]", "use the modulation 'adaln'");
    }
    for (std::int64_t i = 0; i < spec.blocks; ++i) {
      blocks_.push_back(std::make_unique<Table>(block_rows, spec.width));
    }
    if (spec.final_layer) final_ = std::make_unique<Table>(final_rows, spec.width);
  }

  ops::Variable prepare(const ops::Variable& condition) const override { return shared_.forward(condition); }
  ops::Variable block_vectors(const ops::Variable& prepared, std::int64_t block) const override {
    return blocks_.at(static_cast<std::size_t>(block))->forward(prepared);
  }
  ops::Variable final_vectors(const ops::Variable&, const ops::Variable& condition) const override {
    return final_->forward(ops::reshape(condition, {condition.shape()[0], 1, condition.shape()[1]}));
  }

  nn::Module& block_parameters(std::int64_t block) override {
    return *blocks_.at(static_cast<std::size_t>(block));
  }
  nn::Module* final_parameters() override { return final_.get(); }
  nn::Module* shared_parameters() override { return &shared_; }

 private:
  SharedMap shared_;
  std::vector<std::unique_ptr<Table>> blocks_;
  std::unique_ptr<Table> final_;
};

void list(std::vector<Component>& out) {
  out.push_back(component<Modulation>(
      Schema("adaln-single", "One linear map for all blocks, and a table that each block adds to it"),
      [](const Config&, const Modulation::Spec& spec, Assembly&) {
        return std::make_unique<AdaLnSingle>(spec);
      }));
}

}  // namespace
}  // namespace tessera

TESSERA_PLUGIN("adaln_single", "1.0", tessera::list)
