// Layers that the plugins share, against plain loops over their parameters.
#include "nn/layers.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "nn/embeddings.hpp"
#include "nn/mlp.hpp"
#include "nn/parameter_store.hpp"
#include "nn/patch.hpp"
#include "unit/ops/gradient_check.hpp"

namespace tessera::nn {
namespace {

using test::expect_near;
using test::random_tensor;
using test::to_doubles;

std::vector<double> parameter(const ParameterStore& store, const char* name) {
  return to_doubles(store.view(store.values(), store.slot(name)));
}

// y[n, o] = sum_i x[n, i] w[o, i] + b[o]
std::vector<double> product(const std::vector<double>& x, const std::vector<double>& w,
                            const std::vector<double>& b) {
  const std::size_t out = b.size();
  const std::size_t in = w.size() / out;
  std::vector<double> y;
  for (std::size_t n = 0; n < x.size() / in; ++n) {
    for (std::size_t o = 0; o < out; ++o) {
      double sum = b[o];
      for (std::size_t i = 0; i < in; ++i) sum += x[n * in + i] * w[o * in + i];
      y.push_back(sum);
    }
  }
  return y;
}

TEST(Layers, Linear) {
  Linear linear(6, 4, true, Initializer::normal(1));
  ParameterStore store(linear);
  store.materialise(Precision::named("float64"));
  store.initialize(1);
  store.view(store.values(), store.slot("bias")).copy_from(random_tensor({4}, DType::f64, 2));
  const Tensor x = random_tensor({2, 3, 6}, DType::f64, 3);
  const ops::Variable y = linear.forward(ops::Variable(x));
  EXPECT_TRUE((y.shape() == Shape{2, 3, 4}));
  const std::vector<double> expected =
      product(to_doubles(x), parameter(store, "weight"), parameter(store, "bias"));
  expect_near(to_doubles(y.value()), expected, 1e-14);
  expect_near(to_doubles(linear.forward_exact(ops::Variable(x)).value()), expected, 1e-14);
}

TEST(Layers, PrecisionDecidesTheTypes) {
  Linear linear(16, 8, true, Initializer::normal(1));
  ParameterStore store(linear);
  store.materialise(Precision::named("bfloat16"));
  store.initialize(4);
  const ops::Variable x(random_tensor({5, 16}, DType::f32, 5));
  EXPECT_EQ(linear.forward(x).dtype(), store.precision().activation);
  EXPECT_EQ(linear.forward(x, DType::f32).dtype(), DType::f32);
  EXPECT_EQ(linear.forward_exact(x).dtype(), DType::f32);
  const std::vector<double> exact =
      product(to_doubles(x.value()), parameter(store, "weight"), parameter(store, "bias"));
  expect_near(to_doubles(linear.forward_exact(x).value()), exact, 1e-5);
  expect_near(to_doubles(linear.forward(x, DType::f32).value()), exact, 2e-2);
}

TEST(Layers, SwiGluWidthsAreRoundedUpAsPublished) {
  EXPECT_EQ(SwiGlu::hidden_width(512, 4, 256), 1536);    // int(2 * 2048 / 3) = 1365
  EXPECT_EQ(SwiGlu::hidden_width(64, 4, 32), 192);       // 170
  EXPECT_EQ(SwiGlu::hidden_width(1024, 0.5, 256), 512);  // 341
  EXPECT_EQ(round_up(256, 256), 256);
  EXPECT_EQ(round_up(257, 256), 512);
}

TEST(Layers, PatchEmbeddingIsAConvolution) {
  PatchEmbedding embedding(3, 5, 2, true);
  ParameterStore store(embedding);
  store.materialise(Precision::named("float64"));
  store.initialize(6);
  const Tensor latent = random_tensor({2, 3, 4, 6}, DType::f64, 7);
  const std::vector<double> w = parameter(store, "proj.weight");
  const std::vector<double> b = parameter(store, "proj.bias");
  const std::vector<double> z = to_doubles(latent);
  std::vector<double> expected;
  for (std::size_t n = 0; n < 2; ++n) {
    for (std::size_t token = 0; token < 6; ++token) {
      for (std::size_t o = 0; o < 5; ++o) {
        double sum = b[o];
        for (std::size_t c = 0; c < 3; ++c) {
          for (std::size_t y = 0; y < 2; ++y) {
            for (std::size_t x = 0; x < 2; ++x) {
              sum += w[((o * 3 + c) * 2 + y) * 2 + x] *
                     z[((n * 3 + c) * 4 + token / 3 * 2 + y) * 6 + token % 3 * 2 + x];
            }
          }
        }
        expected.push_back(sum);
      }
    }
  }
  expect_near(to_doubles(embedding.forward(ops::Variable(latent)).value()), expected, 1e-13);
  EXPECT_LE(*std::max_element(b.begin(), b.end()), 1 / std::sqrt(12.0));
}

TEST(Layers, PositionsPutTheColumnFirst) {
  const std::vector<float> table = sincos_positions(2, 3, 8, 2.0);
  ASSERT_EQ(table.size(), 48U);
  for (std::size_t row = 0; row < 2; ++row) {
    for (std::size_t column = 0; column < 3; ++column) {
      const float* at = &table[(row * 3 + column) * 8];
      for (std::size_t j = 0; j < 2; ++j) {
        const double frequency = j == 0 ? 1.0 : 0.01;
        EXPECT_NEAR(at[j], std::sin(static_cast<double>(column) / 2 * frequency), 1e-7);
        EXPECT_NEAR(at[2 + j], std::cos(static_cast<double>(column) / 2 * frequency), 1e-7);
        EXPECT_NEAR(at[4 + j], std::sin(static_cast<double>(row) / 2 * frequency), 1e-7);
        EXPECT_NEAR(at[6 + j], std::cos(static_cast<double>(row) / 2 * frequency), 1e-7);
      }
    }
  }
  // The published models hold the coordinate in float32: at 100/1.7 its rounding shows.
  const std::vector<float> wide = sincos_positions(1, 101, 4, 1.7);
  EXPECT_EQ(wide[400], static_cast<float>(std::sin(static_cast<double>(100.0F / 1.7F))));
  EXPECT_THROW((void)sincos_positions(2, 2, 6, 1.0), Error);
}

TEST(Layers, ScalarEmbeddingIsAnMlpOfCosinesThenSines) {
  ScalarEmbedding embedding(8, 4, ScalarEmbedding::Activation::silu);
  ParameterStore store(embedding);
  store.materialise(Precision::named("float64"));
  store.values().copy_from(random_tensor({store.arena_elements()}, DType::f64, 8));
  const std::vector<double> levels = {0.3, -1.7};
  std::vector<double> features;
  for (const double level : levels) {
    for (int i = 0; i < 4; ++i) features.push_back(std::cos(level * std::exp(-std::log(10000.0) * i / 4)));
    for (int i = 0; i < 4; ++i) features.push_back(std::sin(level * std::exp(-std::log(10000.0) * i / 4)));
  }
  std::vector<double> hidden =
      product(features, parameter(store, "mlp.0.weight"), parameter(store, "mlp.0.bias"));
  for (double& value : hidden) value = value / (1 + std::exp(-value));
  expect_near(to_doubles(embedding.forward(Tensor::from_host(levels, {2})).value()),
              product(hidden, parameter(store, "mlp.2.weight"), parameter(store, "mlp.2.bias")),
              1e-6);  // the features are float32 in every precision
}

}  // namespace
}  // namespace tessera::nn
