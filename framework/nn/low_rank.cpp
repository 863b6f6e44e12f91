#include "nn/low_rank.hpp"

#include <cmath>

#include "compute/matmul.hpp"
#include "ops/elementwise.hpp"
#include "ops/linear.hpp"

namespace tessera::nn {
namespace {

Initializer start_of(std::int64_t in, const LowRankSpec& spec) {
  return spec.start == LowRankSpec::Start::gaussian
             ? Initializer::normal(1.0 / static_cast<double>(spec.rank))
             : Initializer::uniform(1.0 / std::sqrt(static_cast<double>(in)));
}

}  // namespace

LowRank::LowRank(std::int64_t in, std::int64_t out, const LowRankSpec& spec, bool exact)
    : scale_(spec.scale),
      down_(declare("lora_A.weight", {spec.rank, in}, start_of(in, spec), {.exact = exact})),
      up_(declare("lora_B.weight", {out, spec.rank}, Initializer::constant(0), {.exact = exact})) {}

ops::Variable LowRank::forward(const ops::Variable& x, DType result_type) const {
  // The scale goes where the fewest numbers are.
  const ops::Variable low = ops::scale(ops::linear(x, down_.value(), {}), scale_);
  return ops::linear(low, up_.value(), {}, result_type);
}

ops::Variable LowRank::forward_exact(const ops::Variable& x) const {
  return ops::linear(ops::scale(ops::linear(x, down_.master(), {}), scale_), up_.master(), {});
}

void LowRank::add_to(const Tensor& weight, double sign) const {
  const ops::NoGradScope no_grad;
  const Tensor up = ops::scale(up_.master(), sign * scale_).value();
  compute::matmul(compute::as_matrix(up), compute::Transpose::no, compute::as_matrix(down_.master().value()),
                  compute::Transpose::no, compute::as_matrix(weight), 1, true);
}

}  // namespace tessera::nn
