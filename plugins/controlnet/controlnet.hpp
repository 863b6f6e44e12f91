#pragma once
// Invariant: the model itself is frozen, and everything that the copies add passes through a linear layer
// that starts at zero: at first the adapted model is the model, bit for bit.
//
// c: the control map's patches, embedded like the latent's. F_i: block i of the model, C_i its copy; Z: maps
// [width -> width] with bias that start at zero.
//   per-block (Chen et al. 2023, PixArt-alpha, appendix A.9):  x <- F_i(x) + Z2_i C_i(x + Z1_i c)
//   chain (the published code, "ControlNet-Half"):  x <- F_0(x); c <- x + Z c; then for i = 1, ..., copies
//       c <- C_{i-1}(c);  x <- F_i(x + Z2_{i-1} c)

#include <map>
#include <string>

#include "nn/layers.hpp"
#include "plugin/block_stack.hpp"
#include "plugin/slots/adapter.hpp"

namespace tessera {

/// A trained copy of a block and the maps around it, under the published names.
class ControlBlock : public nn::Module {
 public:
  /// @param mapped  whether the control passes through a map of this block's ("before_proj")
  ControlBlock(TransformerBlock& copy, std::int64_t width, bool mapped);
  /// x + Z1 control. @pre mapped
  [[nodiscard]] ops::Variable enter(const ops::Variable& x, const ops::Variable& control) const;
  [[nodiscard]] const TransformerBlock& copy() const { return copy_; }
  /// x + Z2 copied, of one shape.
  [[nodiscard]] ops::Variable add_to(const ops::Variable& x, const ops::Variable& copied) const;

 private:
  std::unique_ptr<nn::Linear> before_;
  TransformerBlock& copy_;
  nn::Linear after_;
};

/// All of them, named "0", "1", ...
class ControlNet : public nn::Module, public BlockRoute {
 public:
  enum class Wiring { per_block, chain };
  ControlNet(const BlockStack& stack, Wiring wiring, std::int64_t count, Assembly& assembly);
  [[nodiscard]] ops::Variable forward(const BlockStack& stack, ops::Variable x, const BlockInputs& inputs,
                                      const ops::Variable& control) const override;

 private:
  Wiring wiring_;
  BlockCopies copies_;
  std::vector<std::unique_ptr<ControlBlock>> blocks_;
};

}  // namespace tessera
