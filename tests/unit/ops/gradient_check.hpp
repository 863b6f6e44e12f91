#pragma once
// Invariant: expected gradients come from central differences of the forward alone, in float64; nothing of
// the backward under test takes part in them.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "ops/graph.hpp"

namespace tessera::test {

/// Uniform values in [low, high), the same on every machine, rounded to `type`.
inline Tensor random_tensor(const Shape& shape, DType type, std::uint32_t seed, double low = -1,
                            double high = 1) {
  std::mt19937 generator(seed);
  const std::int64_t count = shape.numel();
  return dispatch_floating(type, [&]<class T>(T) {
    std::vector<T> values(static_cast<std::size_t>(count));
    for (T& value : values) {
      const double unit = static_cast<double>(generator()) / 4294967296.0;
      value = T(static_cast<arithmetic_t<T>>(low + (high - low) * unit));
    }
    return Tensor::from_host(values, shape);
  });
}

/// The elements of a floating tensor as doubles.
inline std::vector<double> to_doubles(const Tensor& tensor) {
  return dispatch_floating(tensor.dtype(), [&]<class T>(T) {
    const std::vector<T> values = tensor.to_host<T>();
    std::vector<double> result;
    result.reserve(values.size());
    for (const T& value : values) result.push_back(static_cast<double>(static_cast<arithmetic_t<T>>(value)));
    return result;
  });
}

/// |actual - expected| <= tolerance * max(1, largest |expected|), element by element; NaN never passes.
inline void expect_near(const std::vector<double>& actual, const std::vector<double>& expected,
                        double tolerance, const std::string& what = {}) {
  ASSERT_EQ(actual.size(), expected.size()) << what;
  double scale = 1;
  for (const double value : expected) scale = std::max(scale, std::fabs(value));
  for (std::size_t i = 0; i < actual.size(); ++i) {
    ASSERT_TRUE(std::fabs(actual[i] - expected[i]) <= tolerance * scale)
        << what << " element " << i << ": " << actual[i] << ", expected " << expected[i];
  }
}
inline void expect_near(const Tensor& actual, const Tensor& expected, double tolerance,
                        const std::string& what = {}) {
  ASSERT_TRUE(actual.shape() == expected.shape())
      << what << ": " << actual.shape().to_string() << ", expected " << expected.shape().to_string();
  expect_near(to_doubles(actual), to_doubles(expected), tolerance, what);
}

/// A differentiable function of float64 inputs.
using Function = std::function<ops::Variable(const std::vector<ops::Variable>&)>;

struct GradientCheck {
  double step = 1e-5;
  double tolerance = 1e-7;            ///< relative to the largest gradient of the input, at least 1
  std::int64_t most_elements = 2000;  ///< of an input larger than this, evenly spread elements are checked
};

/// Compares the gradients of sum_i w_i f(inputs)_i, w random, with central differences, for every input.
/// Gradient memory starts as NaN, so a backward that adds where it must overwrite fails; a second backward
/// into the same memory must double the gradients, so one that overwrites where it must add fails too.
inline void expect_gradients(const Function& f, const std::vector<Tensor>& inputs,
                             const GradientCheck& check = {}) {
  std::vector<ops::Variable> leaves;
  for (const Tensor& input : inputs) {
    Tensor gradient = Tensor::empty(input.shape(), DType::f64);
    std::fill_n(gradient.data<double>(), gradient.numel(), std::numeric_limits<double>::quiet_NaN());
    leaves.push_back(ops::Variable::leaf(input, gradient));
  }
  const ops::Variable first = f(leaves);
  ASSERT_EQ(first.dtype(), DType::f64);
  const Tensor weights = random_tensor(first.shape(), DType::f64, 977);
  const std::vector<double> w = to_doubles(weights);

  // backward may take its seed over, so each run gets a copy of its own.
  ops::backward(first, random_tensor(first.shape(), DType::f64, 977));
  std::vector<std::vector<double>> once;
  for (std::size_t n = 0; n < leaves.size(); ++n) {
    ASSERT_TRUE(leaves[n].gradient().defined()) << "input " << n << " got no gradient";
    once.push_back(to_doubles(leaves[n].gradient()));
  }
  ops::backward(f(leaves), random_tensor(first.shape(), DType::f64, 977));
  for (std::size_t n = 0; n < leaves.size(); ++n) {
    std::vector<double> doubled = once[n];
    for (double& value : doubled) value *= 2;
    expect_near(to_doubles(leaves[n].gradient()), doubled, 1e-12,
                "accumulated gradient of input " + std::to_string(n));
  }

  const auto loss = [&](const std::vector<ops::Variable>& at) {
    const ops::NoGradScope scope;
    const std::vector<double> y = to_doubles(f(at).value());
    double sum = 0;
    for (std::size_t i = 0; i < y.size(); ++i) sum += w[i] * y[i];
    return sum;
  };
  for (std::size_t n = 0; n < inputs.size(); ++n) {
    const std::int64_t count = inputs[n].numel();
    const std::int64_t stride = std::max<std::int64_t>(1, count / check.most_elements);
    Tensor moved = Tensor::empty(inputs[n].shape(), DType::f64);
    moved.copy_from(inputs[n]);
    std::vector<ops::Variable> at;
    for (const Tensor& input : inputs) at.emplace_back(input);
    at[n] = ops::Variable(moved);
    std::vector<double> actual;
    std::vector<double> expected;
    for (std::int64_t i = 0; i < count; i += stride) {
      const double original = moved.data<double>()[i];
      moved.data<double>()[i] = original + check.step;
      const double above = loss(at);
      moved.data<double>()[i] = original - check.step;
      const double below = loss(at);
      moved.data<double>()[i] = original;
      expected.push_back((above - below) / (2 * check.step));
      actual.push_back(once[n][static_cast<std::size_t>(i)]);
    }
    expect_near(actual, expected, check.tolerance, "gradient of input " + std::to_string(n));
  }
}

}  // namespace tessera::test
