#include "nn/layers.hpp"

#include "ops/elementwise.hpp"
#include "ops/linear.hpp"
#include "ops/norm.hpp"

namespace tessera::nn {

Linear::Linear(std::int64_t in, std::int64_t out, bool bias, Initializer weight, ParameterOptions options)
    : in_(in), out_(out), weight_(declare("weight", {out, in}, weight.for_matrix(in, out), options)) {
  if (!bias) return;
  options.exact = true;  // added in the parameters' own type, whatever the product's
  bias_ = &declare("bias", {out}, Initializer::constant(0), options);
}

ops::Variable Linear::forward(const ops::Variable& x) const { return forward(x, precision().activation); }

ops::Variable Linear::forward(const ops::Variable& x, DType result_type) const {
  const ops::Variable factor = ops::cast(x, precision().compute);
  const ops::Variable y =
      ops::linear(factor, weight_.value(), bias_ == nullptr ? ops::Variable() : bias_->master(), result_type);
  return branches() ? ops::add(y, branch_->forward(factor, result_type)) : y;
}

ops::Variable Linear::forward_exact(const ops::Variable& x) const {
  const ops::Variable factor = ops::cast(x, precision().parameter);
  const ops::Variable y = ops::linear(
      factor, weight_.master(), bias_ == nullptr ? ops::Variable() : bias_->master(), precision().parameter);
  return branches() ? ops::add(y, branch_->forward_exact(factor)) : y;
}

void Linear::add_low_rank(const LowRankSpec& spec) {
  if (branch_ != nullptr) {
    throw Error("a linear layer has a low-rank branch already", {}, "attach one adapter to a model");
  }
  if (weight_.has_memory()) {
    throw Error("a linear layer cannot get a low-rank branch: it has memory already", {},
                "attach an adapter before the model's ParameterStore is made");
  }
  branch_ = std::make_unique<LowRank>(in_, out_, spec, weight_.options().exact);
  add_child("", *branch_);
}

void Linear::merge_low_rank(bool write) { set_merged(true, write); }

void Linear::unmerge_low_rank(bool write) { set_merged(false, write); }

void Linear::set_merged(bool merged, bool write) {
  if (branch_ == nullptr || merged == merged_) {
    throw Error(std::string("a linear layer ") + (branch_ == nullptr ? "has no low-rank branch to merge"
                                                  : merged ? "has merged its low-rank branch already"
                                                           : "has not merged its low-rank branch"));
  }
  if (write) branch_->add_to(weight_.master().value(), merged ? 1 : -1);
  merged_ = merged;
}

std::vector<NamedLinear> linears(Module& module) {
  std::vector<NamedLinear> found;
  for (const NamedModule& named : module.modules()) {
    if (auto* linear = dynamic_cast<Linear*>(named.module)) found.push_back({named.name, linear});
  }
  return found;
}

LayerNorm::LayerNorm(std::int64_t width, bool gain, double eps) : eps_(eps) {
  if (gain) gain_ = &declare("weight", {width}, Initializer::constant(1), {.exact = true});
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
