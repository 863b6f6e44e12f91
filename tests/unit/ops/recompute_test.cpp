// A recomputed region gives, bit for bit, what the recorded one gives, with less memory.
#include <gtest/gtest.h>

#include <algorithm>

#include "ops/elementwise.hpp"
#include "ops/norm.hpp"
#include "ops/residual.hpp"
#include "unit/ops/gradient_check.hpp"

namespace tessera {
namespace {

using ops::Variable;
using test::random_tensor;
using test::to_doubles;

struct Block {
  Variable gain =
      Variable::leaf(random_tensor({16}, DType::f32, 1, 0.5, 1.5), Tensor::empty({16}, DType::f32));
  Variable weight =
      Variable::leaf(random_tensor({2, 5, 16}, DType::f32, 2), Tensor::empty({2, 5, 16}, DType::f32));

  // Inputs: x [2, 5, 16] and a modulation [2, 3, 16].
  [[nodiscard]] Variable operator()(const std::vector<Variable>& in) const {
    const Variable h = ops::modulated_layer_norm(in[0], gain, in[1], 0, 1, 1e-6, DType::f32);
    return ops::gated_residual(in[0], ops::swiglu(h, weight), in[1], 2);
  }
};

struct Result {
  std::vector<double> value;
  std::vector<std::vector<double>> gradients;  // gain, weight, x, modulation
};

// Several blocks in a row that share parameters and modulation.
Result run(bool recompute, bool input_needs_gradient) {
  const Block block;
  const Tensor start = random_tensor({2, 5, 16}, DType::f32, 3);
  const Variable x = input_needs_gradient ? Variable::leaf(start) : Variable(start);
  const Variable modulation = Variable::leaf(random_tensor({2, 3, 16}, DType::f32, 4));
  const Variable constant(modulation.value());
  Variable y = x;
  for (int i = 0; i < 3; ++i) {
    // Without a differentiable input the region must still give its parameters gradients.
    const std::vector<Variable> inputs = {y, input_needs_gradient ? modulation : constant};
    y = recompute ? ops::recompute(block, inputs) : block(inputs);
  }
  Result result{to_doubles(y.value()), {}};
  ops::backward(y, random_tensor(y.shape(), DType::f32, 5));
  result.gradients = {to_doubles(block.gain.gradient()), to_doubles(block.weight.gradient())};
  if (input_needs_gradient) {
    result.gradients.push_back(to_doubles(x.gradient()));
    result.gradients.push_back(to_doubles(modulation.gradient()));
  }
  return result;
}

TEST(Recompute, SameBitsAsWithoutIt) {
  for (const bool input_needs_gradient : {true, false}) {
    const Result plain = run(false, input_needs_gradient);
    const Result again = run(true, input_needs_gradient);
    EXPECT_EQ(plain.value, again.value);
    ASSERT_EQ(plain.gradients.size(), again.gradients.size());
    for (std::size_t i = 0; i < std::min<std::size_t>(3, plain.gradients.size()); ++i) {
      EXPECT_EQ(plain.gradients[i], again.gradients[i]) << "gradient " << i;
    }
    // Each region adds its own sum to an input that regions share: one rounding more.
    if (input_needs_gradient) test::expect_near(again.gradients[3], plain.gradients[3], 1e-6);
  }
}

TEST(Recompute, KeepsOnlyTheInputsOfARegion) {
  const Variable x = Variable::leaf(random_tensor({128, 64}, DType::f32, 6));
  const std::size_t size = x.value().bytes();
  const auto chain = [](const std::vector<Variable>& in) {
    Variable y = in[0];
    for (int i = 0; i < 8; ++i) y = ops::silu(y);
    return y;
  };
  const std::size_t before = memory_statistics().current;
  const Variable y = ops::recompute(chain, {x});
  EXPECT_EQ(memory_statistics().current, before + size);
  ops::backward(y, random_tensor({128, 64}, DType::f32, 7));
  EXPECT_EQ(memory_statistics().current, before + 2 * size);  // y and x's gradient
}

TEST(Recompute, NestsAndHonoursNoGrad) {
  const Tensor start = random_tensor({6}, DType::f64, 8);
  const auto inner = [](const std::vector<Variable>& in) { return ops::gelu_erf(ops::silu(in[0])); };
  const auto outer = [&](const std::vector<Variable>& in) {
    return ops::swiglu(ops::recompute(inner, {in[0]}), ops::recompute(inner, {ops::silu(in[0])}));
  };
  test::expect_gradients([&](const std::vector<Variable>& in) { return ops::recompute(outer, {in[0]}); },
                         {start});
  const ops::NoGradScope scope;
  EXPECT_FALSE(ops::recompute(outer, {Variable::leaf(start)}).requires_grad());
}

TEST(Recompute, NothingIsRecordedOfConstantsAlone) {
  const Tensor start = random_tensor({6}, DType::f32, 8);
  const Variable constant(start);
  const Variable parameter = Variable::leaf(random_tensor({6}, DType::f32, 9));
  const auto frozen = [&](const std::vector<Variable>& in) {
    return ops::swiglu(ops::silu(in[0]), constant);
  };
  const auto trained = [&](const std::vector<Variable>& in) { return ops::swiglu(in[0], parameter); };
  EXPECT_FALSE(ops::recompute(frozen, {constant}).requires_grad());
  EXPECT_TRUE(ops::recompute(trained, {constant}).requires_grad());
  EXPECT_TRUE(ops::recompute(frozen, {parameter}).requires_grad());
  const auto nested = [&](const std::vector<Variable>& in) { return ops::recompute(trained, in); };
  EXPECT_TRUE(ops::recompute(nested, {constant}).requires_grad());
}

TEST(Recompute, ProgressSpeaksOfTheOuterOrderAndFirstUsesStayThoseOfForward) {
  const Variable parameter = Variable::leaf(random_tensor({6}, DType::f64, 9));
  const Variable x = Variable::leaf(random_tensor({6}, DType::f64, 10));
  parameter.node()->clear_uses();
  const Variable y = ops::recompute(
      [&](const std::vector<Variable>& in) { return ops::swiglu(ops::silu(in[0]), parameter); }, {x});
  const Variable z = ops::silu(y);
  const std::uint64_t first_use = parameter.node()->first_use();
  EXPECT_LT(first_use, y.node()->order());

  std::vector<std::uint64_t> orders;
  bool complete_too_early = false;
  ops::set_backward_progress([&](std::uint64_t order) {
    orders.push_back(order);
    if (first_use >= order && !parameter.gradient().defined()) complete_too_early = true;
  });
  ops::backward(z, random_tensor({6}, DType::f64, 11));
  ops::set_backward_progress({});
  EXPECT_EQ(orders, (std::vector<std::uint64_t>{z.node()->order(), y.node()->order()}));
  EXPECT_EQ(parameter.node()->first_use(), first_use);
  EXPECT_FALSE(complete_too_early);
  EXPECT_TRUE(parameter.gradient().defined());
}

}  // namespace
}  // namespace tessera
