#include "nn/mlp.hpp"

#include "ops/elementwise.hpp"

namespace tessera::nn {

std::int64_t round_up(std::int64_t value, std::int64_t unit) { return (value + unit - 1) / unit * unit; }

std::int64_t SwiGlu::hidden_width(std::int64_t width, double ratio, std::int64_t multiple_of) {
  const auto scaled = static_cast<std::int64_t>(static_cast<double>(width) * ratio);
  return round_up(2 * scaled / 3, multiple_of);
}

SwiGlu::SwiGlu(std::int64_t width, double ratio, std::int64_t multiple_of, bool bias, double value_deviation,
               double output_deviation)
    : gate_(width, hidden_width(width, ratio, multiple_of), bias, Initializer::normal(0.02)),
      value_(width, gate_.out(), bias, Initializer::normal(value_deviation)),
      output_(gate_.out(), width, bias, Initializer::normal(output_deviation)) {
  add_child("w1", gate_);
  add_child("w2", value_);
  add_child("w3", output_);
}

ops::Variable SwiGlu::forward(const ops::Variable& x) const {
  return output_.forward(ops::swiglu(gate_.forward(x), value_.forward(x)));
}

NormedMlp::NormedMlp(std::int64_t in, std::int64_t width, double norm_eps)
    : input_(in, width, true, Initializer::normal(0.02)),
      norm_(width, true, norm_eps),
      output_(width, width, true, Initializer::normal(0.02)) {
  add_child("fc1", input_);
  add_child("norm", norm_);
  add_child("fc2", output_);
}

ops::Variable NormedMlp::forward(const ops::Variable& x) const {
  return output_.forward_exact(norm_.forward(ops::gelu_tanh(input_.forward_exact(x))));
}

}  // namespace tessera::nn
