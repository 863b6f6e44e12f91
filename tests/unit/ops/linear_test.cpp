// Linear and grouped linear layers against plain loops and finite differences, and the types in which a
// bfloat16 run keeps its gradients.
#include "ops/linear.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "compute/cost.hpp"
#include "ops/column_sum.hpp"
#include "unit/ops/gradient_check.hpp"

namespace tessera {
namespace {

using ops::Variable;
using test::random_tensor;
using test::to_doubles;

double tolerance_of(DType type) { return type == DType::f64 ? 1e-14 : type == DType::f32 ? 1e-6 : 8e-3; }

/// y[g, i, o] = sum_j x[g, i, j] w[g, j, o], with w given by its strides.
std::vector<double> loops(const std::vector<double>& x, const std::vector<double>& w, std::size_t groups,
                          std::size_t rows, std::size_t in, std::size_t out, std::size_t in_stride,
                          std::size_t out_stride) {
  std::vector<double> y(groups * rows * out, 0.0);
  for (std::size_t g = 0; g < groups; ++g) {
    for (std::size_t i = 0; i < rows; ++i) {
      for (std::size_t o = 0; o < out; ++o) {
        double sum = 0;
        for (std::size_t j = 0; j < in; ++j) {
          sum += x[(g * rows + i) * in + j] * w[g * in * out + j * in_stride + o * out_stride];
        }
        y[(g * rows + i) * out + o] = sum;
      }
    }
  }
  return y;
}

TEST(Linear, ValuesTreatLeadingExtentsAsRows) {
  for (const DType type : {DType::f64, DType::f32, DType::bf16}) {
    const Tensor x = random_tensor({2, 3, 10}, type, 1);
    const Tensor w = random_tensor({7, 10}, type, 2);
    const Tensor b = random_tensor({7}, DType::f32, 3);
    std::vector<double> expected = loops(to_doubles(x), to_doubles(w), 1, 6, 10, 7, 1, 10);
    const Variable without = ops::linear(Variable(x), Variable(w), Variable());
    EXPECT_EQ(without.dtype(), type);
    EXPECT_EQ(without.shape(), (Shape{2, 3, 7}));
    test::expect_near(to_doubles(without.value()), expected, tolerance_of(type));
    const std::vector<double> bias = to_doubles(b);
    for (std::size_t i = 0; i < expected.size(); ++i) expected[i] += bias[i % 7];
    test::expect_near(to_doubles(ops::linear(Variable(x), Variable(w), Variable(b)).value()), expected,
                      tolerance_of(type));
    const Variable vector =
        ops::linear(Variable(x.view({6, 10}).slice(0, 1).view({10})), Variable(w), Variable());
    EXPECT_EQ(vector.shape(), (Shape{7}));
  }
}

TEST(Linear, Float32ResultOfBfloat16Factors) {
  const Tensor x = random_tensor({5, 64}, DType::bf16, 1);
  const Tensor w = random_tensor({9, 64}, DType::bf16, 2);
  const Variable y = ops::linear(Variable(x), Variable(w), Variable(), DType::f32);
  EXPECT_EQ(y.dtype(), DType::f32);
  test::expect_near(to_doubles(y.value()), loops(to_doubles(x), to_doubles(w), 1, 5, 64, 9, 1, 64), 1e-6);
}

TEST(Linear, Gradients) {
  test::expect_gradients([](const std::vector<Variable>& in) { return ops::linear(in[0], in[1], in[2]); },
                         {random_tensor({2, 3, 5}, DType::f64, 1), random_tensor({4, 5}, DType::f64, 2),
                          random_tensor({4}, DType::f64, 3)});
  test::expect_gradients(
      [](const std::vector<Variable>& in) { return ops::linear(in[0], in[1], Variable()); },
      {random_tensor({6, 5}, DType::f64, 1), random_tensor({70, 5}, DType::f64, 2)});
}

TEST(Linear, GradientsOfASharedInputAndWeight) {
  // x is its own layer's input and output, the weight and the bias serve twice.
  test::expect_gradients(
      [](const std::vector<Variable>& in) {
        return ops::linear(ops::linear(in[0], in[1], in[2]), in[1], in[2]);
      },
      {random_tensor({3, 5}, DType::f64, 1), random_tensor({5, 5}, DType::f64, 2),
       random_tensor({5}, DType::f64, 3)});
  test::expect_gradients(
      [](const std::vector<Variable>& in) { return ops::linear(in[0], in[0], Variable()); },
      {random_tensor({4, 5}, DType::f64, 1)});
}

TEST(Linear, Bfloat16WeightsKeepFloat32Gradients) {
  const std::int64_t rows = 512;
  const Tensor x = random_tensor({rows, 16}, DType::bf16, 1);
  const Tensor w = random_tensor({8, 16}, DType::bf16, 2);
  const Tensor b = random_tensor({8}, DType::f32, 3);
  for (const DType result : {DType::bf16, DType::f32}) {
    SCOPED_TRACE(name_of(result));
    const Variable xv = Variable::leaf(x);
    const Variable wv = Variable::leaf(w, Tensor::empty({8, 16}, DType::f32));
    const Variable bv = Variable::leaf(b, Tensor::empty({8}, DType::f32));
    const auto seed = [&] { return random_tensor({rows, 8}, result, 4, 0, 1); };
    ops::backward(ops::linear(xv, wv, bv, result), seed());
    EXPECT_EQ(xv.gradient().dtype(), DType::bf16);
    EXPECT_EQ(wv.gradient().dtype(), DType::f32);
    // The products take their factors as bfloat16, whatever the type of the result.
    const std::vector<double> g = to_doubles(random_tensor({rows, 8}, DType::bf16, 4, 0, 1));
    std::vector<double> gx = loops(g, to_doubles(w), 1, static_cast<std::size_t>(rows), 8, 16, 16, 1);
    test::expect_near(to_doubles(xv.gradient()), gx, 8e-3);
    const std::vector<double> xs = to_doubles(x);
    std::vector<double> gw(8 * 16, 0.0);
    for (std::size_t i = 0; i < static_cast<std::size_t>(rows); ++i) {
      for (std::size_t o = 0; o < 8; ++o) {
        for (std::size_t j = 0; j < 16; ++j) gw[o * 16 + j] += g[i * 8 + o] * xs[i * 16 + j];
      }
    }
    test::expect_near(to_doubles(wv.gradient()), gw, 2e-6);
    const std::vector<double> exact = to_doubles(seed());
    std::vector<double> gb(8, 0.0);
    for (std::size_t i = 0; i < exact.size(); ++i) gb[i % 8] += exact[i];
    test::expect_near(to_doubles(bv.gradient()), gb, 1e-6);
    // A second pass adds in float32: a bfloat16 sum would lose a part in 256.
    ops::backward(ops::linear(xv, wv, bv, result), seed());
    for (double& value : gw) value *= 2;
    for (double& value : gb) value *= 2;
    for (double& value : gx) value *= 2;
    test::expect_near(to_doubles(wv.gradient()), gw, 2e-6);
    test::expect_near(to_doubles(bv.gradient()), gb, 1e-6);
    test::expect_near(to_doubles(xv.gradient()), gx, 1.6e-2);
  }
}

TEST(Linear, EmptyInputGivesZeroGradients) {
  const Variable x = Variable::leaf(Tensor::empty({0, 5}, DType::f32));
  const Variable w = Variable::leaf(random_tensor({3, 5}, DType::f32, 1));
  const Variable b = Variable::leaf(random_tensor({3}, DType::f32, 1));
  const Variable y = ops::linear(x, w, b);
  EXPECT_EQ(y.shape(), (Shape{0, 3}));
  ops::backward(y, Tensor::empty({0, 3}, DType::f32));
  EXPECT_EQ(to_doubles(w.gradient()), std::vector<double>(15, 0.0));
  EXPECT_EQ(to_doubles(b.gradient()), std::vector<double>(3, 0.0));
}

TEST(Linear, RunsOnShapesAlone) {
  const MetaScope scope;
  compute::CostScope cost;
  const Variable x = Variable::leaf(Tensor::empty({2, 64, 512}, DType::f32));
  const Variable w = Variable::leaf(Tensor::empty({256, 512}, DType::f32));
  const Variable b = Variable::leaf(Tensor::empty({256}, DType::f32));
  const Variable y = ops::linear(x, w, b);
  EXPECT_EQ(cost.cost().matmul_flops, 2.0 * 128 * 256 * 512);
  ops::backward(y, Tensor::empty(y.shape(), y.dtype()));
  EXPECT_EQ(cost.cost().matmul_flops, 6.0 * 128 * 256 * 512);
  EXPECT_TRUE(w.gradient().is_meta());
}

TEST(Linear, RefusesWhatDoesNotFit) {
  const Variable x(Tensor::zeros({2, 5}, DType::f32));
  const Variable w(Tensor::zeros({3, 5}, DType::f32));
  EXPECT_THROW((void)ops::linear(w, x, Variable(Tensor::zeros({3}, DType::f32))), Error);
  EXPECT_THROW((void)ops::linear(x, Variable(Tensor::zeros({3, 4}, DType::f32)), Variable()), Error);
  EXPECT_THROW((void)ops::linear(x, Variable(Tensor::zeros({3, 5}, DType::bf16)), Variable()), Error);
  EXPECT_THROW((void)ops::grouped_linear(x, w), Error);
}

TEST(GroupedLinear, Values) {
  for (const DType type : {DType::f64, DType::f32, DType::bf16}) {
    for (const std::int64_t groups : {1, 4}) {
      const Tensor x = random_tensor({groups, 6, 10}, type, 1);
      const Tensor w = random_tensor({groups, 10, 7}, type, 2);
      const Variable y = ops::grouped_linear(Variable(x), Variable(w));
      EXPECT_EQ(y.shape(), (Shape{groups, 6, 7}));
      test::expect_near(to_doubles(y.value()),
                        loops(to_doubles(x), to_doubles(w), static_cast<std::size_t>(groups), 6, 10, 7, 7, 1),
                        tolerance_of(type));
    }
  }
}

TEST(GroupedLinear, Gradients) {
  const auto once = [](const std::vector<Variable>& in) { return ops::grouped_linear(in[0], in[1]); };
  test::expect_gradients(once,
                         {random_tensor({3, 4, 5}, DType::f64, 1), random_tensor({3, 5, 2}, DType::f64, 2)});
  test::expect_gradients(
      once, {random_tensor({1, 2, 2, 5}, DType::f64, 1), random_tensor({1, 5, 2}, DType::f64, 2)});
  test::expect_gradients(
      [](const std::vector<Variable>& in) {
        return ops::grouped_linear(ops::grouped_linear(in[0], in[1]), in[1]);
      },
      {random_tensor({3, 4, 5}, DType::f64, 1), random_tensor({3, 5, 5}, DType::f64, 2)});
}

TEST(ColumnSum, EveryWidthAndType) {
  for (const DType from : {DType::f64, DType::f32, DType::bf16}) {
    for (const DType to : {DType::f64, DType::f32, DType::bf16}) {
      for (const std::int64_t columns : {1, 63, 64, 200}) {
        for (const std::int64_t rows : {1, 64, 130}) {
          const Tensor x = random_tensor({rows, columns}, from, 1);
          const Tensor sum = random_tensor({columns}, to, 2);
          const std::vector<double> values = to_doubles(x);
          for (const bool accumulate : {true, false}) {
            std::vector<double> expected = to_doubles(sum);
            if (!accumulate) expected.assign(expected.size(), 0.0);
            for (std::size_t i = 0; i < values.size(); ++i) {
              expected[i % static_cast<std::size_t>(columns)] += values[i];
            }
            ops::sum_columns(x, sum, accumulate);
            const double tolerance = to == DType::f64 && from == DType::f64 ? 1e-14
                                     : to == DType::bf16                    ? 4e-3
                                                                            : 1e-6;
            test::expect_near(to_doubles(sum), expected, tolerance);
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace tessera
