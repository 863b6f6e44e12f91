#pragma once
// Invariant: the layer plan (attention width, feed-forward width and kind of every block) is decided here,
// for mixers and backbones alike.

#include <memory>
#include <string>
#include <vector>

#include "plugin/assembly.hpp"
#include "plugin/transformer_block.hpp"

namespace tessera {

/// The plan of a stack of blocks of one width.
struct StackSpec {
  BlockSpec block;                         ///< qkv_width and initial are set per block
  std::vector<double> qkv_ratios;          ///< one per block
  std::vector<double> mlp_ratios;          ///< one per block
  std::vector<BlockInitializers> initial;  ///< one per block
  std::int64_t experts_every = 0;          ///< blocks i >= 1 with (i + 1) % experts_every == 0; 0 = none
  bool experts_in_last = true;             ///< whether the last block may have experts
  bool recompute = false;                  ///< keep only block inputs for backward
};

/// first, ..., last in equal steps, `count` values, as NumPy's linspace rounds them.
[[nodiscard]] std::vector<double> ramp(double first, double last, std::int64_t count);
/// One value per block from a list whose length divides the number of blocks, each repeated.
[[nodiscard]] std::vector<double> spread(const std::vector<double>& values, std::int64_t blocks);
[[nodiscard]] bool has_experts(const StackSpec& spec, std::int64_t block);

/// Transformer blocks named "0", "1", ...
class BlockStack : public nn::Module {
 public:
  /// Takes the feed-forwards from the assembly's keys "feed_forward" and "experts".
  BlockStack(const StackSpec& spec, Modulation& modulation, Assembly& assembly);
  [[nodiscard]] ops::Variable forward(ops::Variable x, const nn::Context& context,
                                      const ops::Variable& prepared) const;

 private:
  bool recompute_;
  std::vector<std::unique_ptr<TransformerBlock>> blocks_;
};

}  // namespace tessera
