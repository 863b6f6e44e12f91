// Softmax against a plain float64 loop and finite differences.
#include "ops/softmax.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "unit/ops/gradient_check.hpp"

namespace tessera {
namespace {

using ops::Variable;
using test::random_tensor;
using test::to_doubles;

std::vector<double> loops(const std::vector<double>& x, std::size_t columns) {
  std::vector<double> y(x.size());
  for (std::size_t begin = 0; begin < x.size(); begin += columns) {
    double highest = x[begin];
    for (std::size_t j = 0; j < columns; ++j) highest = std::max(highest, x[begin + j]);
    double sum = 0;
    for (std::size_t j = 0; j < columns; ++j) sum += std::exp(x[begin + j] - highest);
    for (std::size_t j = 0; j < columns; ++j) y[begin + j] = std::exp(x[begin + j] - highest) / sum;
  }
  return y;
}

double tolerance_of(DType type) { return type == DType::f64 ? 1e-14 : type == DType::f32 ? 1e-6 : 4e-3; }

TEST(Softmax, Values) {
  for (const DType type : {DType::f64, DType::f32, DType::bf16}) {
    for (const DType result : {DType::f64, DType::f32, DType::bf16}) {
      for (const std::int64_t columns : {1, 8, 77, 256}) {
        const Tensor x = random_tensor({2, 3, columns}, type, 1, -20, 20);
        const Variable y = ops::softmax(Variable(x), result);
        EXPECT_EQ(y.dtype(), result);
        EXPECT_EQ(y.shape(), x.shape());
        const double tolerance =
            tolerance_of(result == DType::f64 ? type == DType::f32 ? DType::f64 : type : result);
        test::expect_near(to_doubles(y.value()), loops(to_doubles(x), static_cast<std::size_t>(columns)),
                          type == DType::bf16 && result == DType::f64 ? 1e-14 : tolerance);
      }
    }
  }
  EXPECT_EQ(ops::softmax(Variable(random_tensor({2, 4}, DType::bf16, 1))).dtype(), DType::bf16);
}

TEST(Softmax, LargeInputsDoNotOverflow) {
  const Tensor x = Tensor::from_host<float>({-1e30F, 1e30F, 0.0F, 1e30F}, {1, 4});
  EXPECT_EQ(to_doubles(ops::softmax(Variable(x)).value()), (std::vector<double>{0, 0.5, 0, 0.5}));
}

TEST(Softmax, NaNSpreadsOverItsRowOnly) {
  for (const std::size_t place : {0U, 3U, 18U}) {
    std::vector<float> values(40, 0.5F);
    values[20 + place] = std::numeric_limits<float>::quiet_NaN();
    const std::vector<double> y =
        to_doubles(ops::softmax(Variable(Tensor::from_host(values, {2, 20}))).value());
    for (std::size_t j = 0; j < 20; ++j) {
      EXPECT_NEAR(y[j], 0.05, 1e-7);
      EXPECT_TRUE(std::isnan(y[20 + j]));
    }
  }
}

TEST(Softmax, Gradients) {
  test::expect_gradients([](const std::vector<Variable>& in) { return ops::softmax(in[0]); },
                         {random_tensor({2, 3, 9}, DType::f64, 1, -3, 3)});
  test::expect_gradients([](const std::vector<Variable>& in) { return ops::softmax(ops::softmax(in[0])); },
                         {random_tensor({4, 20}, DType::f64, 1, -3, 3)});
}

TEST(Softmax, GradientsOfShortTypes) {
  for (const DType type : {DType::f32, DType::bf16}) {
    for (const DType result : {DType::f32, DType::bf16}) {
      const std::int64_t columns = 19;
      const Variable x = Variable::leaf(random_tensor({5, columns}, type, 1, -2, 2));
      const Variable y = ops::softmax(x, result);
      const std::vector<double> value = loops(to_doubles(x.value()), static_cast<std::size_t>(columns));
      const std::vector<double> g = to_doubles(random_tensor(y.shape(), result, 2));
      std::vector<double> expected(value.size());
      for (std::size_t begin = 0; begin < value.size(); begin += static_cast<std::size_t>(columns)) {
        double dot = 0;
        for (std::size_t j = begin; j < begin + static_cast<std::size_t>(columns); ++j)
          dot += value[j] * g[j];
        for (std::size_t j = begin; j < begin + static_cast<std::size_t>(columns); ++j) {
          expected[j] = value[j] * (g[j] - dot);
        }
      }
      for (const double times : {1.0, 2.0}) {  // the second pass adds to the first
        ops::backward(ops::softmax(x, result), random_tensor(y.shape(), result, 2));
        std::vector<double> scaled = expected;
        for (double& e : scaled) e *= times;
        const bool exact = type == DType::f32 && result == DType::f32;
        test::expect_near(to_doubles(x.gradient()), scaled, exact ? 1e-6 : 4e-3);
      }
    }
  }
}

TEST(Softmax, EmptyAndMeta) {
  EXPECT_EQ(ops::softmax(Variable(Tensor::empty({3, 0}, DType::f32))).shape(), (Shape{3, 0}));
  EXPECT_EQ(ops::softmax(Variable(Tensor::empty({0, 3}, DType::f32))).shape(), (Shape{0, 3}));
  EXPECT_THROW((void)ops::softmax(Variable(Tensor::empty({}, DType::f32))), Error);
  const MetaScope scope;
  const Variable x = Variable::leaf(Tensor::empty({2, 8}, DType::bf16));
  const Variable y = ops::softmax(x, DType::f32);
  ops::backward(y, Tensor::empty(y.shape(), DType::f32));
  EXPECT_TRUE(x.gradient().is_meta());
}

}  // namespace
}  // namespace tessera
