#pragma once
// Invariant: Linear is the only owner of a matrix (adapters attach there), LayerNorm the only owner of a
// gain; both compute in the precision of the run.

#include <memory>
#include <string>
#include <vector>

#include "nn/low_rank.hpp"
#include "nn/module.hpp"

namespace tessera::nn {

/// y[..., out] = x[..., in] W^T + b; W is stored [out, in] as "weight", b as "bias". A low-rank branch adds
/// scale (x A^T) B^T (low_rank.hpp).
class Linear : public Module {
 public:
  Linear(std::int64_t in, std::int64_t out, bool bias, Initializer weight, ParameterOptions options = {});
  /// @param x  any floating type; converted to the compute type
  /// @param result_type  type of y; by default the compute type
  [[nodiscard]] ops::Variable forward(const ops::Variable& x) const;
  [[nodiscard]] ops::Variable forward(const ops::Variable& x, DType result_type) const;
  /// The same product in the parameters' own type, whatever the compute type: for the few small products
  /// whose rounding decides something (routing). The weight must have been declared with
  /// ParameterOptions::exact, or ranks that share out the master values refuse it.
  [[nodiscard]] ops::Variable forward_exact(const ops::Variable& x) const;

  [[nodiscard]] std::int64_t in() const { return in_; }
  [[nodiscard]] std::int64_t out() const { return out_; }
  [[nodiscard]] Parameter& weight() { return weight_; }

  /// Gives it a branch with the parameters "lora_A.weight" and "lora_B.weight". Leaves the weight as
  /// trainable as it is. @throws Error when it has one already, or the weight has memory.
  void add_low_rank(const LowRankSpec& spec);
  [[nodiscard]] bool has_low_rank() const { return branch_ != nullptr; }
  /// Merges the branch into the weight: W + scale B A, after which forward leaves the branch out; and takes
  /// it out again, to rounding. Whoever asked renews the store's copy in the compute type.
  /// @param write  false on ranks whose weight is in memory that another rank writes
  /// @throws Error when there is no branch, or it is (un)merged already.
  void merge_low_rank(bool write = true);
  void unmerge_low_rank(bool write = true);

 private:
  [[nodiscard]] bool branches() const { return branch_ != nullptr && !merged_; }
  void set_merged(bool merged, bool write);

  std::int64_t in_;
  std::int64_t out_;
  Parameter& weight_;
  Parameter* bias_ = nullptr;
  std::unique_ptr<LowRank> branch_;
  bool merged_ = false;
};

/// A matrix with its path.
struct NamedLinear {
  std::string name;
  Linear* linear;
};
/// Every Linear below `module`, in order of declaration.
[[nodiscard]] std::vector<NamedLinear> linears(Module& module);

/// LayerNorm over the last extent with an optional gain "weight" and no bias; biased variance.
class LayerNorm : public Module {
 public:
  LayerNorm(std::int64_t width, bool gain, double eps);
  /// The result has the compute type.
  [[nodiscard]] ops::Variable forward(const ops::Variable& x) const;
  /// LayerNorm(x) * (1 + scale) + shift with vectors `shift` and `scale` of modulation [batch, vectors,
  /// width]; x is [batch, tokens, width].
  [[nodiscard]] ops::Variable modulated(const ops::Variable& x, const ops::Variable& modulation,
                                        std::int64_t shift, std::int64_t scale) const;

 private:
  Parameter* gain_ = nullptr;
  double eps_;
};

}  // namespace tessera::nn
