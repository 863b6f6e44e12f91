// Values against the C library in float64, gradients against central differences.
#include "ops/elementwise.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "unit/ops/gradient_check.hpp"

namespace tessera {
namespace {

using ops::Variable;
using test::expect_gradients;
using test::expect_near;
using test::random_tensor;
using test::to_doubles;

double phi(double x) { return 0.5 * std::erfc(-x / std::sqrt(2.0)); }
double reference_gelu_erf(double x) { return x * phi(x); }
double reference_gelu_tanh(double x) {
  return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
}
double reference_silu(double x) { return x / (1 + std::exp(-x)); }

struct Activation {
  const char* name;
  Variable (*operation)(const Variable&);
  double (*reference)(double);
};
const Activation activations[] = {{"gelu_tanh", ops::gelu_tanh, reference_gelu_tanh},
                                  {"gelu_erf", ops::gelu_erf, reference_gelu_erf},
                                  {"silu", ops::silu, reference_silu}};

std::vector<double> map(const std::vector<double>& x, double (*f)(double)) {
  std::vector<double> y;
  for (const double value : x) y.push_back(f(value));
  return y;
}

TEST(Elementwise, ActivationValues) {
  for (const Activation& activation : activations) {
    for (const auto& [type, tolerance] :
         {std::pair{DType::f64, 1e-14}, {DType::f32, 1e-6}, {DType::bf16, 1.0 / 256}}) {
      const Tensor x = random_tensor({3, 37}, type, 1, -6, 6);
      const Variable y = activation.operation(Variable(x));
      EXPECT_EQ(y.dtype(), type);
      EXPECT_TRUE(y.shape() == x.shape());
      EXPECT_FALSE(y.requires_grad());
      expect_near(to_doubles(y.value()), map(to_doubles(x), activation.reference), tolerance,
                  activation.name);
    }
  }
}

TEST(Elementwise, ActivationGradients) {
  for (const Activation& activation : activations) {
    SCOPED_TRACE(activation.name);
    expect_gradients([&](const std::vector<Variable>& in) { return activation.operation(in[0]); },
                     {random_tensor({5, 29}, DType::f64, 2, -4, 4)});
  }
}

TEST(Elementwise, ShortTypesHaveTheGradientsOfFloat64) {
  for (const Activation& activation : activations) {
    for (const auto& [type, tolerance] : {std::pair{DType::f32, 2e-6}, {DType::bf16, 1.0 / 128}}) {
      const Tensor x = random_tensor({70}, type, 3, -5, 5);
      const Tensor dy = random_tensor({70}, type, 4);
      const Variable leaf = Variable::leaf(x);
      ops::backward(activation.operation(leaf), random_tensor({70}, type, 4));
      EXPECT_EQ(leaf.gradient().dtype(), type);
      const Variable exact = Variable::leaf(Tensor::from_host(to_doubles(x), {70}));
      ops::backward(activation.operation(exact), Tensor::from_host(to_doubles(dy), {70}));
      expect_near(to_doubles(leaf.gradient()), to_doubles(exact.gradient()), tolerance, activation.name);
    }
  }
}

TEST(Elementwise, Swiglu) {
  for (const auto& [type, tolerance] :
       {std::pair{DType::f64, 1e-14}, {DType::f32, 1e-6}, {DType::bf16, 1.0 / 256}}) {
    const Tensor gate = random_tensor({4, 33}, type, 5, -5, 5);
    const Tensor value = random_tensor({4, 33}, type, 6, -2, 2);
    std::vector<double> expected = map(to_doubles(gate), reference_silu);
    const std::vector<double> v = to_doubles(value);
    for (std::size_t i = 0; i < v.size(); ++i) expected[i] *= v[i];
    expect_near(to_doubles(ops::swiglu(Variable(gate), Variable(value)).value()), expected, tolerance);
  }
  const Tensor a = random_tensor({4, 33}, DType::f64, 5, -5, 5);
  const Tensor b = random_tensor({4, 33}, DType::f64, 6, -2, 2);
  expect_gradients([](const std::vector<Variable>& in) { return ops::swiglu(in[0], in[1]); }, {a, b});
  // One input a constant, either one; and both the same variable.
  expect_gradients([&](const std::vector<Variable>& in) { return ops::swiglu(in[0], Variable(b)); }, {a});
  expect_gradients([&](const std::vector<Variable>& in) { return ops::swiglu(Variable(a), in[0]); }, {b});
  expect_gradients([](const std::vector<Variable>& in) { return ops::swiglu(in[0], in[0]); }, {a});
  EXPECT_THROW((void)ops::swiglu(Variable(a), Variable(random_tensor({33, 4}, DType::f64, 1))), Error);
  EXPECT_THROW((void)ops::swiglu(Variable(a), Variable(random_tensor({4, 33}, DType::f32, 1))), Error);
}

TEST(Elementwise, Add) {
  const Tensor a = random_tensor({2, 3, 5}, DType::f64, 7);
  const Tensor b = random_tensor({2, 3, 5}, DType::f64, 8);
  expect_gradients([](const std::vector<Variable>& in) { return ops::add(in[0], in[1]); }, {a, b});
  expect_gradients([](const std::vector<Variable>& in) { return ops::add(in[0], in[0]); }, {a});
  // Each term is used again afterwards: gradients that share memory would be counted twice.
  expect_gradients(
      [](const std::vector<Variable>& in) {
        const Variable u = ops::silu(in[0]);
        const Variable v = ops::gelu_erf(in[1]);
        const Variable w = ops::swiglu(u, v);
        return ops::add(ops::add(u, v), w);
      },
      {a, b});

  const Tensor wide = random_tensor({2, 3, 5}, DType::f32, 9);
  const Tensor brief = random_tensor({2, 3, 5}, DType::bf16, 10);
  const Variable y = ops::add(Variable(wide), Variable(brief));
  EXPECT_EQ(y.dtype(), DType::f32);
  EXPECT_EQ(ops::add(Variable(brief), Variable(wide)).dtype(), DType::bf16);
  std::vector<double> expected = to_doubles(wide);
  const std::vector<double> other = to_doubles(brief);
  for (std::size_t i = 0; i < other.size(); ++i) expected[i] += other[i];
  expect_near(to_doubles(y.value()), expected, 1e-7);

  EXPECT_THROW((void)ops::add(Variable(a), Variable(random_tensor({2, 15}, DType::f64, 1))), Error);
  EXPECT_THROW((void)ops::add(Variable(a), Variable(wide)), Error);
}

TEST(Elementwise, Scale) {
  const Tensor x = random_tensor({4, 9}, DType::f64, 11);
  expect_gradients([](const std::vector<Variable>& in) { return ops::scale(in[0], -0.75); }, {x});
  expect_gradients(
      [](const std::vector<Variable>& in) { return ops::add(ops::scale(in[0], 3), ops::scale(in[0], 0.5)); },
      {x});
  for (const DType type : {DType::f64, DType::f32, DType::bf16}) {
    const Tensor a = random_tensor({4, 9}, type, 12);
    const Variable y = ops::scale(Variable(a), 0.3);
    EXPECT_EQ(y.dtype(), type);
    std::vector<double> expected = to_doubles(a);
    for (double& value : expected) value *= 0.3;
    expect_near(to_doubles(y.value()), expected,
                type == DType::f64   ? 1e-16
                : type == DType::f32 ? 1e-7
                                     : 2e-3);
  }
}

TEST(Elementwise, ErrorsNameTheOperationAndBothShapes) {
  try {
    (void)ops::add(Variable(random_tensor({2, 3}, DType::f32, 1)),
                   Variable(random_tensor({3, 2}, DType::f32, 1)));
    FAIL();
  } catch (const Error& error) {
    const std::string text = error.what();
    for (const char* part : {"add", "[2, 3]", "[3, 2]"})
      EXPECT_NE(text.find(part), std::string::npos) << text;
  }
}

TEST(Elementwise, CastRoundsAndItsGradientComesBackInTheInputsType) {
  const Tensor x = random_tensor({50}, DType::f32, 11);
  const Variable leaf = Variable::leaf(x);
  const Variable y = ops::cast(leaf, DType::bf16);
  EXPECT_EQ(y.dtype(), DType::bf16);
  expect_near(to_doubles(y.value()), to_doubles(x), 1.0 / 512);
  const Tensor seed = random_tensor({50}, DType::bf16, 12);
  const std::vector<double> expected = to_doubles(seed);
  ops::backward(y, seed);
  EXPECT_EQ(leaf.gradient().dtype(), DType::f32);
  EXPECT_EQ(to_doubles(leaf.gradient()), expected);
  EXPECT_EQ(ops::cast(leaf, DType::f32).node(), leaf.node());
}

TEST(Elementwise, Reshape) {
  const Tensor x = random_tensor({4, 6}, DType::f64, 13);
  const Variable y = ops::reshape(Variable(x), {2, 3, 4});
  EXPECT_TRUE((y.shape() == Shape{2, 3, 4}));
  EXPECT_EQ(y.value().raw(), x.raw());
  expect_gradients(
      [](const std::vector<Variable>& in) {
        const Variable wide = ops::reshape(in[0], {2, 12});
        return ops::swiglu(wide, ops::reshape(ops::silu(in[0]), {2, 12}));
      },
      {x});
  EXPECT_THROW((void)ops::reshape(Variable(x), {5, 5}), Error);
}

TEST(Elementwise, ScaleAddPerImage) {
  const Tensor x = random_tensor({3, 2, 4, 5}, DType::f64, 14);
  const Tensor z = random_tensor({3, 2, 4, 5}, DType::f64, 15);
  const Tensor a = random_tensor({3}, DType::f64, 16);
  const Tensor c = random_tensor({3}, DType::f64, 17);
  std::vector<double> expected;
  for (std::size_t i = 0; i < 120; ++i) {
    expected.push_back(to_doubles(a)[i / 40] * to_doubles(x)[i] + to_doubles(c)[i / 40] * to_doubles(z)[i]);
  }
  expect_near(to_doubles(ops::scale_add_per_image(Variable(x), a, z, c).value()), expected, 1e-15);
  expect_gradients([&](const std::vector<Variable>& in) { return ops::scale_add_per_image(in[0], a, z, c); },
                   {x});

  // A bfloat16 network output with float32 latents, factors in either type.
  const Tensor brief = random_tensor({3, 2, 4, 5}, DType::bf16, 14);
  const Tensor latents = random_tensor({3, 2, 4, 5}, DType::f32, 15);
  const Variable leaf = Variable::leaf(brief);
  const Variable y = ops::scale_add_per_image(leaf, a, latents, random_tensor({3}, DType::f32, 17));
  EXPECT_EQ(y.dtype(), DType::f32);
  for (std::size_t i = 0; i < 120; ++i) {
    expected[i] =
        to_doubles(a)[i / 40] * to_doubles(brief)[i] + to_doubles(c)[i / 40] * to_doubles(latents)[i];
  }
  expect_near(to_doubles(y.value()), expected, 1e-6);
  ops::backward(y, random_tensor(y.shape(), DType::f32, 18));
  EXPECT_EQ(leaf.gradient().dtype(), DType::bf16);
  EXPECT_THROW((void)ops::scale_add_per_image(Variable(x), random_tensor({2}, DType::f64, 1), z, c), Error);
}

TEST(Elementwise, MetaTensorsGiveShapesOnly) {
  const MetaScope scope;
  const Variable x = Variable::leaf(Tensor::empty({4, 8}, DType::bf16));
  const Variable y = ops::swiglu(ops::gelu_tanh(ops::add(x, x)), ops::reshape(ops::silu(x), {4, 8}));
  const Variable wide = ops::cast(y, DType::f32);
  EXPECT_TRUE(wide.value().is_meta());
  EXPECT_TRUE((wide.shape() == Shape{4, 8}));
  EXPECT_EQ(wide.dtype(), DType::f32);
  ops::backward(wide, Tensor::meta({4, 8}, DType::f32));
  EXPECT_TRUE(x.gradient().is_meta());
}

}  // namespace
}  // namespace tessera
