#pragma once
// Invariant: the layer plan (attention width, feed-forward width and kind of every block) is decided here,
// for mixers and backbones alike, and for the copies of blocks that adapters train.

#include <memory>
#include <string>
#include <vector>

#include "plugin/assembly.hpp"
#include "plugin/transformer_block.hpp"

namespace tessera {

/// The plan of a stack of blocks of one width.
struct StackSpec {
  BlockSpec block;                         ///< qkv_width and initial are set per block
  std::int64_t condition_width = 0;        ///< of the conditioning vector that the modulation reads
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

class BlockStack;

/// What every block of one pass reads besides the tokens.
struct BlockInputs {
  const nn::Context& context;
  const ops::Variable& prepared;  ///< what Modulation::prepare made
};

/// Leads the tokens through a stack in the place of its own loop: how an adapter acts on the blocks.
class BlockRoute {
 public:
  virtual ~BlockRoute() = default;
  /// @param control  [batch, tokens, width], beside x token by token
  [[nodiscard]] virtual ops::Variable forward(const BlockStack& stack, ops::Variable x,
                                              const BlockInputs& inputs,
                                              const ops::Variable& control) const = 0;
};

/// Blocks built like the first ones of a stack, with parameters of their own. What their modulation shares
/// between blocks is not theirs: they read what that of the stack prepared.
struct BlockCopies {
  std::unique_ptr<Modulation> modulation;
  std::vector<std::unique_ptr<TransformerBlock>> blocks;
};

/// Transformer blocks named "0", "1", ...
class BlockStack : public nn::Module {
 public:
  /// Takes the feed-forwards from the assembly's keys "feed_forward" and "experts".
  BlockStack(const StackSpec& spec, Modulation& modulation, Assembly& assembly);
  /// Takes the route when there is one and `control` is defined, else block after block.
  [[nodiscard]] ops::Variable forward(ops::Variable x, const nn::Context& context,
                                      const ops::Variable& prepared, const ops::Variable& control = {}) const;

  [[nodiscard]] std::int64_t depth() const { return static_cast<std::int64_t>(blocks_.size()); }
  [[nodiscard]] std::int64_t width() const { return spec_.block.width; }
  [[nodiscard]] const TransformerBlock& block(std::int64_t index) const {
    return *blocks_.at(static_cast<std::size_t>(index));
  }
  /// One block of the stack or of its copies, recomputed in backward when the plan says so.
  [[nodiscard]] ops::Variable run(const TransformerBlock& block, const ops::Variable& x,
                                  const BlockInputs& inputs) const;

  /// Copies of the first `count` blocks, made of the same components with the modulation at "modulation".
  [[nodiscard]] BlockCopies copies(std::int64_t count, Assembly& assembly) const;
  /// @param route  outlives the use of this. @throws Error when there is one already.
  void set_route(const BlockRoute& route);
  [[nodiscard]] bool has_route() const { return route_ != nullptr; }

 private:
  [[nodiscard]] std::unique_ptr<TransformerBlock> make_block(std::int64_t index, Modulation& modulation,
                                                             Assembly& assembly) const;

  StackSpec spec_;
  std::vector<std::unique_ptr<TransformerBlock>> blocks_;
  const BlockRoute* route_ = nullptr;
};

}  // namespace tessera
