#include "nn/mlp.hpp"

#include "ops/elementwise.hpp"

namespace tessera::nn {

std::int64_t round_up(std::int64_t value, std::int64_t unit) { return (value + unit - 1) / unit * unit; }

std::int64_t SwiGlu::hidden_width(std::int64_t width, double ratio, std::int64_t multiple_of) {
  const auto scaled = static_cast<std::int64_t>(static_cast<double>(width) * ratio);
  return round_up(2 * scaled / 3, multiple_of);
}

SwiGlu::SwiGlu(std::int64_t width, double ratio, std::int64_t multiple_of, bool bias, Initializer gate,
               Initializer value, Initializer output)
    : gate_(width, hidden_width(width, ratio, multiple_of), bias, gate),
      value_(width, gate_.out(), bias, value),
      output_(gate_.out(), width, bias, output) {
  add_child("w1", gate_);
  add_child("w2", value_);
  add_child("w3", output_);
}

ops::Variable SwiGlu::forward(const ops::Variable& x) const {
  return output_.forward(ops::swiglu(gate_.forward(x), value_.forward(x)));
}

CaptionMlp::CaptionMlp(std::int64_t in, std::int64_t width, std::optional<double> norm_eps)
    : input_(in, width, true, Initializer::normal(0.02), {.exact = true}),
      output_(width, width, true, Initializer::normal(0.02), {.exact = true}) {
  add_child("fc1", input_);
  if (norm_eps) {
    norm_.emplace(width, true, *norm_eps);
    add_child("norm", *norm_);
  }
  add_child("fc2", output_);
}

ops::Variable CaptionMlp::forward(const ops::Variable& x) const {
  const ops::Variable hidden = ops::gelu_tanh(input_.forward_exact(x));
  return output_.forward_exact(norm_ ? norm_->forward(hidden) : hidden);
}

}  // namespace tessera::nn
