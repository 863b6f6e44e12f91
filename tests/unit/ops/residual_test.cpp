// Residual connections against plain loops and central differences.
#include "ops/residual.hpp"

#include <gtest/gtest.h>

#include "ops/elementwise.hpp"
#include "unit/ops/gradient_check.hpp"

namespace tessera {
namespace {

using ops::Variable;
using test::expect_gradients;
using test::expect_near;
using test::random_tensor;
using test::to_doubles;

TEST(Residual, KeepsTheStreamsType) {
  const Tensor x = random_tensor({2, 3, 10}, DType::f32, 1);
  const Tensor branch = random_tensor({2, 3, 10}, DType::bf16, 2);
  const Variable y = ops::residual(Variable(x), Variable(branch));
  EXPECT_EQ(y.dtype(), DType::f32);
  std::vector<double> expected = to_doubles(x);
  for (std::size_t i = 0; i < 60; ++i) expected[i] += to_doubles(branch)[i];
  expect_near(to_doubles(y.value()), expected, 1e-7);
}

TEST(Residual, HandsItsGradientOnWithoutACopy) {
  const Variable x = Variable::leaf(random_tensor({4, 8}, DType::f32, 1));
  const Tensor seed = random_tensor({4, 8}, DType::f32, 2);
  const std::vector<double> expected = to_doubles(seed);
  const Variable branch = Variable::leaf(random_tensor({4, 8}, DType::bf16, 3));
  ops::backward(ops::residual(x, branch), seed);
  EXPECT_EQ(x.gradient().raw(), seed.raw());
  EXPECT_EQ(to_doubles(x.gradient()), expected);
  EXPECT_EQ(branch.gradient().dtype(), DType::bf16);
  expect_near(to_doubles(branch.gradient()), expected, 1.0 / 256);
}

TEST(Residual, Gradients) {
  const Tensor x = random_tensor({2, 3, 7}, DType::f64, 1);
  expect_gradients([](const std::vector<Variable>& in) { return ops::residual(in[0], ops::silu(in[0])); },
                   {x});
  expect_gradients([](const std::vector<Variable>& in) { return ops::residual(in[0], in[0]); }, {x});
}

TEST(GatedResidual, Values) {
  const Tensor modulation = random_tensor({2, 6, 150}, DType::f32, 3);
  for (const auto& [type, branch_type, tolerance] : {std::tuple{DType::f32, DType::f32, 1e-6},
                                                     {DType::f32, DType::bf16, 1e-6},
                                                     {DType::bf16, DType::bf16, 1.0 / 256},
                                                     {DType::bf16, DType::f32, 1.0 / 256}}) {
    const Tensor x = random_tensor({2, 5, 150}, type, 4);
    const Tensor branch = random_tensor({2, 5, 150}, branch_type, 5);
    std::vector<double> expected = to_doubles(x);
    for (std::size_t i = 0; i < expected.size(); ++i) {
      expected[i] += to_doubles(branch)[i] * to_doubles(modulation)[(i / 750 * 6 + 4) * 150 + i % 150];
    }
    const Variable y = ops::gated_residual(Variable(x), Variable(branch), Variable(modulation), 4);
    EXPECT_EQ(y.dtype(), type);
    expect_near(to_doubles(y.value()), expected, tolerance);
  }
}

TEST(GatedResidual, Gradients) {
  const auto operation = [](const std::vector<Variable>& in) {
    return ops::gated_residual(in[0], in[1], in[2], 1);
  };
  expect_gradients(operation,
                   {random_tensor({2, 5, 9}, DType::f64, 6), random_tensor({2, 5, 9}, DType::f64, 7),
                    random_tensor({2, 3, 9}, DType::f64, 8)});
  expect_gradients(operation,
                   {random_tensor({2, 67, 133}, DType::f64, 6), random_tensor({2, 67, 133}, DType::f64, 7),
                    random_tensor({2, 2, 133}, DType::f64, 8)},
                   {.tolerance = 1e-6, .most_elements = 150});
}

TEST(GatedResidual, TwoGatesOfOneModulation) {
  expect_gradients(
      [](const std::vector<Variable>& in) {
        const Variable once = ops::gated_residual(in[0], ops::silu(in[0]), in[1], 2);
        return ops::gated_residual(once, ops::silu(once), in[1], 0);
      },
      {random_tensor({2, 4, 6}, DType::f64, 9), random_tensor({2, 4, 6}, DType::f64, 10)});
}

TEST(GatedResidual, MixedTypesHaveTheGradientsOfFloat64) {
  const Tensor x = random_tensor({3, 100, 40}, DType::f32, 11);
  const Tensor branch = random_tensor({3, 100, 40}, DType::bf16, 12);
  const Tensor modulation = random_tensor({3, 2, 40}, DType::bf16, 13);
  const Tensor dy = random_tensor({3, 100, 40}, DType::f32, 14);
  const auto exact = [](const Tensor& t) { return Tensor::from_host(to_doubles(t), t.shape()); };
  const auto run = [](const Tensor& a, const Tensor& b, const Tensor& m, const Tensor& seed) {
    const std::vector<Variable> leaves = {Variable::leaf(a), Variable::leaf(b), Variable::leaf(m)};
    ops::backward(ops::gated_residual(leaves[0], leaves[1], leaves[2], 1), seed);
    return std::vector<Tensor>{leaves[0].gradient(), leaves[1].gradient(), leaves[2].gradient()};
  };
  const std::vector<Tensor> expected = run(exact(x), exact(branch), exact(modulation), exact(dy));
  const std::vector<Tensor> actual = run(x, branch, modulation, dy);
  const DType types[] = {DType::f32, DType::bf16, DType::bf16};
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(actual[i].dtype(), types[i]);
    expect_near(to_doubles(actual[i]), to_doubles(expected[i]), types[i] == DType::bf16 ? 1.0 / 256 : 1e-6);
  }
}

TEST(GatedResidual, BadShapesAreNamed) {
  const Variable x(random_tensor({2, 3, 8}, DType::f32, 1));
  const Variable modulation(random_tensor({2, 6, 8}, DType::f32, 1));
  EXPECT_THROW((void)ops::gated_residual(x, x, modulation, 6), Error);
  EXPECT_THROW((void)ops::gated_residual(x, Variable(random_tensor({2, 4, 8}, DType::f32, 1)), modulation, 0),
               Error);
  EXPECT_THROW((void)ops::gated_residual(x, x, Variable(random_tensor({2, 6, 7}, DType::f32, 1)), 0), Error);
  EXPECT_THROW((void)ops::residual(x, modulation), Error);
}

}  // namespace
}  // namespace tessera
