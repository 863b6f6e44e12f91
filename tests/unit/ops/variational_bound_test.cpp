// The variational bound against its definition, written as published, in long double; and central
// differences.
#include "ops/variational_bound.hpp"

#include <gtest/gtest.h>

#include <numbers>

#include "unit/ops/gradient_check.hpp"

namespace tessera {
namespace {

using ops::ReverseSteps;
using ops::Variable;
using test::expect_gradients;
using test::expect_near;
using test::random_tensor;
using test::to_doubles;

constexpr std::int64_t patch = 2;
const Shape shape{3, 2, 4, 6};

/// Image 1 is at the last step.
ReverseSteps steps() {
  const auto one = [](std::vector<double> values) { return Tensor::from_host(values, {3}); };
  return {one({0.3, 0.05, 0.01}), one({-1.1, -6.0, -3.9}), one({-0.4, -5.0, -3.8}), one({0, 1, 0})};
}

struct Inputs {
  explicit Inputs(DType type, std::uint32_t seed = 1)
      : v(random_tensor(shape, type, seed, -1.4, 1.4)),
        epsilon(random_tensor(shape, type, seed + 1, -2, 2)),
        noise(random_tensor(shape, type, seed + 2, -2, 2)),
        // Beyond 0.999 on both sides too, where the bins are open.
        clean(random_tensor(shape, type, seed + 3, -1.5, 1.5)),
        weight(random_tensor({3}, DType::f64, seed + 4, 0.5, 3)) {}
  Tensor v, epsilon, noise, clean, weight;

  [[nodiscard]] Variable bound(const Variable& variance, const Tensor& removed) const {
    return ops::variational_bound(variance, epsilon, noise, clean, steps(), weight, removed, patch);
  }
};

Tensor mask() {
  // Image 0 keeps two tokens, image 1 four, image 2 one.
  const std::vector<float> removed = {1, 0, 1, 1, 0, 1, 0, 1, 0, 0, 1, 0, 1, 1, 1, 1, 1, 0};
  return Tensor::from_host(removed, {3, 6});
}

long double cdf(long double x) {
  return 0.5L * (1 + std::tanh(std::sqrt(2 / std::numbers::pi_v<long double>) * (x + 0.044715L * x * x * x)));
}

long double term(double v, double difference, double clean, double distance, double low, double high,
                 bool last) {
  const long double fraction = (v + 1.0L) / 2;
  const long double log_variance = fraction * high + (1 - fraction) * low;
  const long double apart = static_cast<long double>(distance) * difference;
  if (!last) {
    return 0.5L *
           (-1 + log_variance - low + std::exp(low - log_variance) +
            apart * apart * std::exp(-log_variance)) /
           std::numbers::ln2_v<long double>;
  }
  const long double scale = std::exp(-0.5L * log_variance);
  const long double upper = cdf(scale * (apart + 1 / 255.0L));
  const long double lower = cdf(scale * (apart - 1 / 255.0L));
  long double probability = upper - lower;
  if (clean < -0.999) probability = upper;
  if (clean > 0.999) probability = 1 - lower;
  return -std::log(std::max(probability, 1e-12L)) / std::numbers::ln2_v<long double>;
}

std::vector<double> reference(const Inputs& in, const Tensor& removed) {
  const std::vector<double> v = to_doubles(in.v), e = to_doubles(in.epsilon), n = to_doubles(in.noise),
                            x = to_doubles(in.clean), w = to_doubles(in.weight);
  const ReverseSteps s = steps();
  std::vector<double> result;
  for (std::size_t b = 0; b < 3; ++b) {
    long double sum = 0;
    double kept = 0;
    for (std::size_t i = 0; i < 48; ++i) {
      const std::size_t token = i / 6 % 4 / 2 * 3 + i % 6 / 2;
      const double counts = removed.defined() ? 1 - to_doubles(removed)[b * 6 + token] : 1;
      const std::size_t at = b * 48 + i;
      sum += counts * term(v[at], e[at] - n[at], x[at], to_doubles(s.mean_distance)[b],
                           to_doubles(s.log_variance_low)[b], to_doubles(s.log_variance_high)[b], b == 1);
      kept += counts;
    }
    result.push_back(static_cast<double>(w[b] * sum / kept));
  }
  return result;
}

TEST(VariationalBound, Values) {
  for (const Tensor& removed : {Tensor(), mask()}) {
    for (const auto& [type, tolerance] :
         {std::pair{DType::f64, 1e-14}, {DType::f32, 2e-7}, {DType::bf16, 2e-7}}) {
      const Inputs in(type);
      const Variable loss = in.bound(Variable(in.v), removed);
      EXPECT_TRUE((loss.shape() == Shape{3}));
      EXPECT_EQ(loss.dtype(), type == DType::f64 ? DType::f64 : DType::f32);
      expect_near(to_doubles(loss.value()), reference(in, removed), tolerance);
    }
  }
}

TEST(VariationalBound, Gradients) {
  const Inputs in(DType::f64);
  for (const Tensor& removed : {Tensor(), mask()}) {
    expect_gradients([&](const std::vector<Variable>& at) { return in.bound(at[0], removed); }, {in.v},
                     {.tolerance = 1e-8});
  }
}

TEST(VariationalBound, GradientsInFloat32AreThoseInFloat64) {
  const Inputs exact(DType::f64);
  Inputs in(DType::f32);
  const Variable v64 = Variable::leaf(exact.v);
  const Variable v32 = Variable::leaf(in.v);
  ops::backward(exact.bound(v64, mask()), random_tensor({3}, DType::f64, 20));
  ops::backward(in.bound(v32, mask()), random_tensor({3}, DType::f32, 20));
  const std::vector<double> expected = to_doubles(v64.gradient());
  double largest = 0;
  for (const double value : expected) largest = std::max(largest, std::abs(value));
  const std::vector<double> actual = to_doubles(v32.gradient());
  for (std::size_t i = 0; i < actual.size(); ++i) EXPECT_NEAR(actual[i], expected[i], 2e-6 * largest) << i;
}

TEST(VariationalBound, ImprobablePicturesHaveTheLeastProbability) {
  Inputs in(DType::f64);
  in.epsilon = random_tensor(shape, DType::f64, 2, 60, 80);  // fifty deviations away
  in.noise = Tensor::zeros(shape, DType::f64);
  in.clean = Tensor::zeros(shape, DType::f64);
  in.weight = Tensor::from_host(std::vector<double>{1, 1, 1}, {3});
  const Variable v = Variable::leaf(in.v);
  const Variable loss = in.bound(v, {});
  EXPECT_NEAR(to_doubles(loss.value())[1], -std::log2(1e-12), 1e-12);
  ops::backward(loss, random_tensor({3}, DType::f64, 21, 1, 2));
  const std::vector<double> gradient = to_doubles(v.gradient());
  for (std::size_t i = 48; i < 96; ++i) EXPECT_EQ(gradient[i], 0);
}

TEST(VariationalBound, RemovedTokensGetNoGradient) {
  const Inputs in(DType::f32);
  const Variable v = Variable::leaf(in.v);
  ops::backward(in.bound(v, mask()), random_tensor({3}, DType::f32, 22, 1, 2));
  const std::vector<double> gradient = to_doubles(v.gradient());
  const std::vector<double> removed = to_doubles(mask());
  for (std::size_t i = 0; i < gradient.size(); ++i) {
    const std::size_t token = i / 48 * 6 + i / 6 % 4 / 2 * 3 + i % 6 / 2;
    EXPECT_EQ(gradient[i] == 0, removed[token] == 1) << i;
  }
}

TEST(VariationalBound, AnImageIsIndependentOfItsBatch) {
  const Inputs in(DType::f32);
  const std::vector<double> together = to_doubles(in.bound(Variable(in.v), {}).value());
  const ReverseSteps s = steps();
  for (std::int64_t b = 0; b < 3; ++b) {
    const auto own = [&](const Tensor& all) { return all.slice(b, b + 1); };
    const Variable alone = ops::variational_bound(
        Variable(own(in.v)), own(in.epsilon), own(in.noise), own(in.clean),
        {own(s.mean_distance), own(s.log_variance_low), own(s.log_variance_high), own(s.is_last)},
        own(in.weight), {}, patch);
    EXPECT_EQ(to_doubles(alone.value())[0], together[static_cast<std::size_t>(b)]);
  }
}

TEST(VariationalBound, BadShapesAreNamed) {
  Inputs in(DType::f32);
  EXPECT_THROW((void)in.bound(Variable(in.v), random_tensor({3, 5}, DType::f32, 1)), Error);
  EXPECT_THROW((void)in.bound(Variable(random_tensor({3, 2, 6, 4}, DType::f32, 1)), {}), Error);
  in.weight = random_tensor({2}, DType::f64, 1);
  EXPECT_THROW((void)in.bound(Variable(in.v), {}), Error);
}

TEST(VariationalBound, MetaTensorsGiveShapesOnly) {
  const MetaScope scope;
  const Variable v = Variable::leaf(Tensor::empty(shape, DType::bf16));
  const Tensor image = Tensor::meta(shape, DType::f32);
  const Tensor one = Tensor::meta({3}, DType::f32);
  const Variable loss = ops::variational_bound(v, image, image, image, {one, one, one, one}, one,
                                               Tensor::meta({3, 6}, DType::f32), patch);
  EXPECT_TRUE((loss.shape() == Shape{3}));
  EXPECT_EQ(loss.dtype(), DType::f32);
  ops::backward(loss, Tensor::meta({3}, DType::f32));
  EXPECT_TRUE(v.gradient().is_meta());
}

}  // namespace
}  // namespace tessera
