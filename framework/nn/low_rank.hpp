#pragma once
// Invariant: with its initial values the branch adds exactly zero, and what it adds is the product with one
// matrix, scale B A, that can be merged into the weight beside it (Hu et al. 2021, "LoRA", section 4.1).

#include "nn/module.hpp"

namespace tessera::nn {

struct LowRankSpec {
  std::int64_t rank = 16;
  double scale = 1;  ///< alpha / rank
  /// How A starts; B starts at zero. The published code takes kaiming_uniform_(a = sqrt(5)), which is
  /// U(-1/sqrt(in), 1/sqrt(in)); PEFT's "gaussian" a deviation of 1 / rank.
  enum class Start { kaiming_uniform, gaussian } start = Start::kaiming_uniform;
};

/// scale (x A^T) B^T with A [rank, in] as "lora_A.weight" and B [out, rank] as "lora_B.weight", PEFT's names.
class LowRank : public Module {
 public:
  /// @param exact  ParameterOptions::exact of both, for forward_exact().
  LowRank(std::int64_t in, std::int64_t out, const LowRankSpec& spec, bool exact = false);
  /// @param x  [..., in] in the compute type -> [..., out] in `result_type`
  [[nodiscard]] ops::Variable forward(const ops::Variable& x, DType result_type) const;
  /// The same in the parameters' own type.
  [[nodiscard]] ops::Variable forward_exact(const ops::Variable& x) const;
  /// weight [out, in] += sign scale B A, in the parameters' type.
  void add_to(const Tensor& weight, double sign) const;

 private:
  double scale_;
  Parameter& down_;  // A
  Parameter& up_;    // B
};

}  // namespace tessera::nn
