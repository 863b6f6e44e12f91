#include "nn/layers.hpp"

#include "ops/elementwise.hpp"
#include "ops/linear.hpp"
#include "ops/norm.hpp"

namespace tessera::nn {

Linear::Linear(std::int64_t in, std::int64_t out, bool bias, Initializer weight, ParameterOptions options)
    : in_(in), out_(out), weight_(declare("weight", {out, in}, weight.for_matrix(in, out), options)) {
  if (bias) bias_ = &declare("bias", {out}, Initializer::constant(0), options);
}

ops::Variable Linear::forward(const ops::Variable& x) const { return forward(x, precision().activation); }

ops::Variable Linear::forward(const ops::Variable& x, DType result_type) const {
  return ops::linear(ops::cast(x, precision().compute), weight_.value(),
                     bias_ == nullptr ? ops::Variable() : bias_->master(), result_type);
}

ops::Variable Linear::forward_exact(const ops::Variable& x) const {
  return ops::linear(ops::cast(x, precision().parameter), weight_.master(),
                     bias_ == nullptr ? ops::Variable() : bias_->master(), precision().parameter);
}

LayerNorm::LayerNorm(std::int64_t width, bool gain, double eps) : eps_(eps) {
  if (gain) gain_ = &declare("weight", {width}, Initializer::constant(1));
}

ops::Variable LayerNorm::forward(const ops::Variable& x) const {
  return ops::layer_norm(x, gain_ == nullptr ? ops::Variable() : gain_->master(), eps_,
                         precision().activation);
}

ops::Variable LayerNorm::modulated(const ops::Variable& x, const ops::Variable& modulation,
                                   std::int64_t shift, std::int64_t scale) const {
  return ops::modulated_layer_norm(x, gain_ == nullptr ? ops::Variable() : gain_->master(), modulation, shift,
                                   scale, eps_, precision().activation);
}

}  // namespace tessera::nn
