// The squared error against its definition in float64, and central differences.
#include "ops/loss.hpp"

#include <gtest/gtest.h>

#include "unit/ops/gradient_check.hpp"

namespace tessera {
namespace {

using ops::Variable;
using test::expect_gradients;
using test::expect_near;
using test::random_tensor;
using test::to_doubles;

const Shape shape{3, 2, 4, 6};
constexpr std::int64_t patch = 2;

Tensor mask() {
  // Image 0 keeps two tokens, image 1 all, image 2 one.
  const std::vector<float> removed = {1, 0, 1, 1, 0, 1, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 0};
  return Tensor::from_host(removed, {3, 6});
}

// As published: mean over channels, average pool, masked average over the tokens.
std::vector<double> reference(const Tensor& prediction, const Tensor& target, const Tensor& weight,
                              const Tensor& removed) {
  const std::vector<double> p = to_doubles(prediction);
  const std::vector<double> t = to_doubles(target);
  std::vector<double> result;
  for (std::size_t b = 0; b < 3; ++b) {
    std::vector<double> pooled(6, 0.0);
    for (std::size_t i = 0; i < 48; ++i) {
      const std::size_t y = i / 6 % 4;
      const std::size_t x = i % 6;
      const double error = p[b * 48 + i] - t[b * 48 + i];
      pooled[y / 2 * 3 + x / 2] += error * error / 2 / 4;
    }
    double sum = 0;
    double kept = 0;
    for (std::size_t token = 0; token < 6; ++token) {
      const double counts = removed.defined() ? 1 - to_doubles(removed)[b * 6 + token] : 1;
      sum += counts * pooled[token];
      kept += counts;
    }
    result.push_back(to_doubles(weight)[b] * sum / kept);
  }
  return result;
}

TEST(SquaredError, Values) {
  for (const Tensor& removed : {Tensor(), mask()}) {
    for (const auto& [type, tolerance] :
         {std::pair{DType::f64, 1e-14}, {DType::f32, 1e-7}, {DType::bf16, 1e-7}}) {
      const Tensor prediction = random_tensor(shape, type, 1);
      const Tensor target = random_tensor(shape, DType::f32, 2);
      const Tensor weight = random_tensor({3}, DType::f64, 3, 0.5, 3);
      const Variable loss = ops::squared_error(Variable(prediction), target, weight, removed, patch);
      EXPECT_TRUE((loss.shape() == Shape{3}));
      EXPECT_EQ(loss.dtype(), type == DType::f64 ? DType::f64 : DType::f32);
      expect_near(to_doubles(loss.value()), reference(prediction, target, weight, removed), tolerance);
    }
  }
}

TEST(SquaredError, Gradients) {
  const Tensor target = random_tensor(shape, DType::f64, 4);
  const Tensor weight = random_tensor({3}, DType::f64, 5, 0.5, 3);
  for (const Tensor& removed : {Tensor(), mask()}) {
    expect_gradients(
        [&](const std::vector<Variable>& in) {
          return ops::squared_error(in[0], target, weight, removed, patch);
        },
        {random_tensor(shape, DType::f64, 6)});
  }
}

TEST(SquaredError, RemovedTokensGetNoGradient) {
  const Variable prediction = Variable::leaf(random_tensor(shape, DType::f32, 7));
  const Tensor weight = random_tensor({3}, DType::f32, 8, 1, 2);
  ops::backward(ops::squared_error(prediction, random_tensor(shape, DType::f32, 9), weight, mask(), patch),
                random_tensor({3}, DType::f32, 10, 1, 2));
  const std::vector<double> gradient = to_doubles(prediction.gradient());
  const std::vector<double> removed = to_doubles(mask());
  for (std::size_t i = 0; i < gradient.size(); ++i) {
    const std::size_t token = i / 48 * 6 + i / 6 % 4 / 2 * 3 + i % 6 / 2;
    EXPECT_EQ(gradient[i] == 0, removed[token] == 1) << i;
  }
}

TEST(SquaredError, MasksOfEveryTypeAgree) {
  const Tensor prediction = random_tensor(shape, DType::f32, 11);
  const Tensor target = random_tensor(shape, DType::f32, 12);
  const Tensor weight = random_tensor({3}, DType::f32, 13, 1, 2);
  const auto loss = [&](const Tensor& removed) {
    return to_doubles(ops::squared_error(Variable(prediction), target, weight, removed, patch).value());
  };
  const std::vector<double> expected = loss(mask());
  const auto as = [&]<class T>(T) {
    const std::vector<double> values = to_doubles(mask());
    return Tensor::from_host(std::vector<T>(values.begin(), values.end()), {3, 6});
  };
  EXPECT_EQ(loss(as(std::uint8_t{})), expected);
  EXPECT_EQ(loss(as(std::int32_t{})), expected);
  EXPECT_EQ(loss(as(std::int64_t{})), expected);
  EXPECT_EQ(loss(as(double{})), expected);
}

TEST(SquaredError, AnImageIsIndependentOfItsBatch) {
  const Tensor prediction = random_tensor({4, 3, 8, 8}, DType::f32, 14);
  const Tensor target = random_tensor({4, 3, 8, 8}, DType::f32, 15);
  const Tensor weight = random_tensor({4}, DType::f32, 16, 1, 2);
  const std::vector<double> together =
      to_doubles(ops::squared_error(Variable(prediction), target, weight, {}, patch).value());
  for (std::int64_t b = 0; b < 4; ++b) {
    const Variable alone = ops::squared_error(Variable(prediction.slice(b, b + 1)), target.slice(b, b + 1),
                                              weight.slice(b, b + 1), {}, patch);
    EXPECT_EQ(to_doubles(alone.value())[0], together[static_cast<std::size_t>(b)]);
  }
}

TEST(SquaredError, FullyRemovedImageCountsNothing) {
  const Tensor removed = Tensor::from_host(std::vector<float>(18, 1.0F), {3, 6});
  const Variable prediction = Variable::leaf(random_tensor(shape, DType::f32, 17));
  const Variable loss = ops::squared_error(prediction, random_tensor(shape, DType::f32, 18),
                                           random_tensor({3}, DType::f32, 19), removed, patch);
  for (const double value : to_doubles(loss.value())) EXPECT_EQ(value, 0);
  ops::backward(loss, random_tensor({3}, DType::f32, 20));
  for (const double value : to_doubles(prediction.gradient())) EXPECT_EQ(value, 0);
}

TEST(SquaredError, BadShapesAreNamed) {
  const Variable p(random_tensor(shape, DType::f32, 1));
  const Tensor weight = random_tensor({3}, DType::f32, 1);
  EXPECT_THROW((void)ops::squared_error(p, random_tensor({3, 2, 6, 4}, DType::f32, 1), weight, {}, patch),
               Error);
  EXPECT_THROW((void)ops::squared_error(p, p.value(), random_tensor({2}, DType::f32, 1), {}, patch), Error);
  EXPECT_THROW((void)ops::squared_error(p, p.value(), weight, random_tensor({3, 5}, DType::f32, 1), patch),
               Error);
  EXPECT_THROW((void)ops::squared_error(p, p.value(), weight, mask(), 3), Error);
}

TEST(SquaredError, MetaTensorsGiveShapesOnly) {
  const MetaScope scope;
  const Variable prediction = Variable::leaf(Tensor::empty({2, 4, 8, 8}, DType::bf16));
  const Variable loss =
      ops::squared_error(prediction, Tensor::meta({2, 4, 8, 8}, DType::f32), Tensor::meta({2}, DType::f32),
                         Tensor::meta({2, 16}, DType::f32), 2);
  EXPECT_TRUE((loss.shape() == Shape{2}));
  EXPECT_EQ(loss.dtype(), DType::f32);
  ops::backward(loss, Tensor::meta({2}, DType::f32));
  EXPECT_TRUE(prediction.gradient().is_meta());
}

}  // namespace
}  // namespace tessera
