// Layer norms against plain loops in float64 and central differences.
#include "ops/norm.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "ops/elementwise.hpp"
#include "unit/ops/gradient_check.hpp"

namespace tessera {
namespace {

using ops::Variable;
using test::expect_gradients;
using test::expect_near;
using test::random_tensor;
using test::to_doubles;

constexpr double eps = 1e-6;

// Rows of `width`; factor and offset are given per element, already spread.
std::vector<double> reference(const std::vector<double>& x, std::size_t width,
                              const std::function<double(std::size_t)>& factor,
                              const std::function<double(std::size_t)>& offset) {
  std::vector<double> y(x.size());
  for (std::size_t row = 0; row * width < x.size(); ++row) {
    double mean = 0;
    for (std::size_t i = 0; i < width; ++i) mean += x[row * width + i];
    mean /= static_cast<double>(width);
    double variance = 0;
    for (std::size_t i = 0; i < width; ++i) variance += std::pow(x[row * width + i] - mean, 2);
    variance /= static_cast<double>(width);
    for (std::size_t i = row * width; i < (row + 1) * width; ++i) {
      y[i] = (x[i] - mean) / std::sqrt(variance + eps) * factor(i) + offset(i);
    }
  }
  return y;
}

struct Types {
  DType x;
  DType result;
  double tolerance;
};
const Types all_types[] = {{DType::f64, DType::f64, 1e-13},
                           {DType::f32, DType::f32, 2e-6},
                           {DType::f32, DType::bf16, 1.0 / 256},
                           {DType::bf16, DType::bf16, 1.0 / 256},
                           {DType::bf16, DType::f32, 2e-6}};

DType wide(DType type) { return type == DType::f64 ? DType::f64 : DType::f32; }

TEST(LayerNorm, Values) {
  for (const Types& types : all_types) {
    for (const std::int64_t width : {24, 37, 512}) {
      const Tensor x = random_tensor({5, width}, types.x, 1, 2, 5);
      const Tensor gain = random_tensor({width}, wide(types.x), 2, 0.5, 1.5);
      const auto w = static_cast<std::size_t>(width);
      const std::vector<double> g = to_doubles(gain);
      const auto none = [](std::size_t) { return 0.0; };
      const Variable y = ops::layer_norm(Variable(x), Variable(gain), eps, types.result);
      EXPECT_EQ(y.dtype(), types.result);
      expect_near(to_doubles(y.value()),
                  reference(
                      to_doubles(x), w, [&](std::size_t i) { return g[i % w]; }, none),
                  types.tolerance, "with a gain");
      expect_near(to_doubles(ops::layer_norm(Variable(x), {}, eps, types.result).value()),
                  reference(
                      to_doubles(x), w, [](std::size_t) { return 1.0; }, none),
                  types.tolerance, "without a gain");
    }
  }
}

TEST(LayerNorm, LargeMeanDoesNotCancel) {
  const std::size_t width = 256;
  std::vector<float> x(width);
  for (std::size_t i = 0; i < width; ++i) x[i] = 4096.0F + static_cast<float>(i % 7) / 64.0F;
  const Tensor input = Tensor::from_host(x, {1, 256});
  const Variable y = ops::layer_norm(Variable(input), {}, eps, DType::f32);
  expect_near(to_doubles(y.value()),
              reference(
                  to_doubles(input), width, [](std::size_t) { return 1.0; }, [](std::size_t) { return 0.0; }),
              2e-2);
}

TEST(ModulatedLayerNorm, Values) {
  for (const Types& types : all_types) {
    const Tensor x = random_tensor({3, 7, 40}, types.x, 3, -3, 1);
    const Tensor gain = random_tensor({40}, wide(types.x), 4, 0.5, 1.5);
    const Tensor modulation = random_tensor({3, 6, 40}, wide(types.x), 5);
    const std::vector<double> g = to_doubles(gain);
    const std::vector<double> m = to_doubles(modulation);
    const auto vector = [&](std::size_t i, std::size_t row) { return m[(i / 280 * 6 + row) * 40 + i % 40]; };
    const Variable y =
        ops::modulated_layer_norm(Variable(x), Variable(gain), Variable(modulation), 3, 4, eps, types.result);
    EXPECT_EQ(y.dtype(), types.result);
    expect_near(to_doubles(y.value()),
                reference(
                    to_doubles(x), 40, [&](std::size_t i) { return g[i % 40] * (1 + vector(i, 4)); },
                    [&](std::size_t i) { return vector(i, 3); }),
                types.tolerance);
  }
}

TEST(LayerNorm, Gradients) {
  for (const std::int64_t width : {8, 33}) {
    const Tensor x = random_tensor({3, 5, width}, DType::f64, 6, -2, 2);
    const Tensor gain = random_tensor({width}, DType::f64, 7, 0.5, 1.5);
    expect_gradients(
        [](const std::vector<Variable>& in) { return ops::layer_norm(in[0], in[1], eps, DType::f64); },
        {x, gain});
    expect_gradients(
        [](const std::vector<Variable>& in) { return ops::layer_norm(in[0], {}, eps, DType::f64); }, {x});
  }
}

TEST(LayerNorm, GradientsOverManyChunksOfRows) {
  expect_gradients(
      [](const std::vector<Variable>& in) { return ops::layer_norm(in[0], in[1], eps, DType::f64); },
      {random_tensor({200, 6}, DType::f64, 8, -2, 2), random_tensor({6}, DType::f64, 9, 0.5, 1.5)});
}

TEST(ModulatedLayerNorm, Gradients) {
  const Tensor x = random_tensor({2, 9, 12}, DType::f64, 10, -2, 2);
  const Tensor gain = random_tensor({12}, DType::f64, 11, 0.5, 1.5);
  const Tensor modulation = random_tensor({2, 6, 12}, DType::f64, 12);
  expect_gradients(
      [](const std::vector<Variable>& in) {
        return ops::modulated_layer_norm(in[0], in[1], in[2], 0, 1, eps, DType::f64);
      },
      {x, gain, modulation});
  expect_gradients(
      [](const std::vector<Variable>& in) {
        return ops::modulated_layer_norm(in[0], {}, in[1], 5, 2, eps, DType::f64);
      },
      {x, modulation});
}

TEST(ModulatedLayerNorm, GradientsAcrossBlocksAndChunks) {
  expect_gradients(
      [](const std::vector<Variable>& in) {
        return ops::modulated_layer_norm(in[0], in[1], in[2], 1, 0, eps, DType::f64);
      },
      {random_tensor({2, 70, 130}, DType::f64, 13, -2, 2), random_tensor({130}, DType::f64, 14, 0.5, 1.5),
       random_tensor({2, 2, 130}, DType::f64, 15)},
      {.tolerance = 1e-6, .most_elements = 150});
}

TEST(ModulatedLayerNorm, SeveralOperationsShareOneModulation) {
  expect_gradients(
      [](const std::vector<Variable>& in) {
        const Variable once = ops::modulated_layer_norm(in[0], {}, in[1], 0, 1, eps, DType::f64);
        const Variable twice = ops::modulated_layer_norm(ops::silu(once), {}, in[1], 2, 3, eps, DType::f64);
        return ops::modulated_layer_norm(ops::add(twice, once), {}, in[1], 3, 1, eps, DType::f64);
      },
      {random_tensor({2, 5, 10}, DType::f64, 16, -2, 2), random_tensor({2, 5, 10}, DType::f64, 17)});
}

TEST(ModulatedLayerNorm, MixedTypesHaveTheGradientsOfFloat64) {
  for (const Types& types : all_types) {
    if (types.x == DType::f64) continue;
    const Tensor x = random_tensor({2, 70, 48}, types.x, 18, -2, 2);
    const Tensor gain = random_tensor({48}, DType::f32, 19, 0.5, 1.5);
    const Tensor modulation = random_tensor({2, 3, 48}, types.x, 20);
    const auto run = [&](const Tensor& a, const Tensor& g, const Tensor& m, const Tensor& dy, DType result) {
      const std::vector<Variable> leaves = {Variable::leaf(a), Variable::leaf(g), Variable::leaf(m)};
      ops::backward(ops::modulated_layer_norm(leaves[0], leaves[1], leaves[2], 2, 0, eps, result), dy);
      return std::vector<Tensor>{leaves[0].gradient(), leaves[1].gradient(), leaves[2].gradient()};
    };
    const auto exact = [](const Tensor& t) { return Tensor::from_host(to_doubles(t), t.shape()); };
    const Tensor dy = random_tensor(x.shape(), types.result, 21);
    const std::vector<Tensor> expected = run(exact(x), exact(gain), exact(modulation), exact(dy), DType::f64);
    const std::vector<Tensor> actual = run(x, gain, modulation, dy, types.result);
    EXPECT_EQ(actual[0].dtype(), types.x);
    EXPECT_EQ(actual[1].dtype(), DType::f32);
    EXPECT_EQ(actual[2].dtype(), types.x);
    for (std::size_t i = 0; i < 3; ++i) {
      expect_near(to_doubles(actual[i]), to_doubles(expected[i]),
                  actual[i].dtype() == DType::bf16 ? 1.0 / 256 : 3e-6, "gradient " + std::to_string(i));
    }
  }
}

TEST(LayerNorm, BadShapesAreNamed) {
  const Variable x(random_tensor({2, 3, 8}, DType::f32, 1));
  EXPECT_THROW((void)ops::layer_norm(x, Variable(random_tensor({7}, DType::f32, 1)), eps, DType::f32), Error);
  EXPECT_THROW((void)ops::layer_norm(x, {}, eps, DType::f64), Error);
  const Variable modulation(random_tensor({2, 6, 8}, DType::f32, 1));
  EXPECT_THROW((void)ops::modulated_layer_norm(x, {}, modulation, 0, 6, eps, DType::f32), Error);
  EXPECT_THROW((void)ops::modulated_layer_norm(x, {}, modulation, -1, 0, eps, DType::f32), Error);
  EXPECT_THROW((void)ops::modulated_layer_norm(x, {}, Variable(random_tensor({3, 6, 8}, DType::f32, 1)), 0, 1,
                                               eps, DType::f32),
               Error);
  try {
    (void)ops::layer_norm(x, Variable(random_tensor({7}, DType::f32, 1)), eps, DType::f32);
    FAIL();
  } catch (const Error& error) {
    const std::string text = error.what();
    for (const char* part : {"layer_norm", "[7]", "[2, 3, 8]"}) {
      EXPECT_NE(text.find(part), std::string::npos) << text;
    }
  }
}

TEST(LayerNorm, MetaTensorsGiveShapesOnly) {
  const MetaScope scope;
  const Variable x = Variable::leaf(Tensor::empty({2, 5, 8}, DType::f32));
  const Variable modulation = Variable::leaf(Tensor::empty({2, 6, 8}, DType::f32));
  const Variable y = ops::modulated_layer_norm(x, {}, modulation, 0, 1, eps, DType::bf16);
  EXPECT_TRUE(y.value().is_meta());
  EXPECT_TRUE(y.shape() == x.shape());
  EXPECT_EQ(y.dtype(), DType::bf16);
  ops::backward(y, Tensor::meta(y.shape(), DType::bf16));
  EXPECT_TRUE(modulation.gradient().is_meta());
}

}  // namespace
}  // namespace tessera
