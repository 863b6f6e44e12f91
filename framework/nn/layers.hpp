#pragma once
// Invariant: Linear is the only owner of a matrix (adapters attach there), LayerNorm the only owner of a
// gain; both compute in the precision of the run.

#include <string>

#include "nn/module.hpp"

namespace tessera::nn {

/// y[..., out] = x[..., in] W^T + b; W is stored [out, in] as "weight", b as "bias".
class Linear : public Module {
 public:
  Linear(std::int64_t in, std::int64_t out, bool bias, Initializer weight, ParameterOptions options = {});
  /// @param x  any floating type; converted to the compute type
  /// @param result_type  type of y; by default the compute type
  [[nodiscard]] ops::Variable forward(const ops::Variable& x) const;
  [[nodiscard]] ops::Variable forward(const ops::Variable& x, DType result_type) const;
  /// The same product in the parameters' own type, whatever the compute type: for the few small products
  /// whose rounding decides something (routing).
  [[nodiscard]] ops::Variable forward_exact(const ops::Variable& x) const;

  [[nodiscard]] std::int64_t in() const { return in_; }
  [[nodiscard]] std::int64_t out() const { return out_; }
  [[nodiscard]] Parameter& weight() { return weight_; }

 private:
  std::int64_t in_;
  std::int64_t out_;
  Parameter& weight_;
  Parameter* bias_ = nullptr;
};

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
