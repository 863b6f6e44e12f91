// Initial values: distribution, and what they may depend on.
#include "nn/initializer.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "nn/layers.hpp"
#include "nn/parameter_store.hpp"

namespace tessera::nn {
namespace {

std::vector<float> values(const Initializer& initializer, std::uint64_t seed, const std::string& name,
                          std::int64_t count) {
  const Tensor tensor = Tensor::empty({count}, DType::f32);
  initialize(initializer, seed, name, tensor);
  return tensor.to_host<float>();
}

double moment(const std::vector<float>& x, int power) {
  double sum = 0;
  for (const float value : x) sum += std::pow(static_cast<double>(value), power);
  return sum / static_cast<double>(x.size());
}

TEST(Initializer, Constant) {
  EXPECT_EQ(values(Initializer::constant(0.25), 1, "bias", 5), std::vector<float>(5, 0.25F));
}

TEST(Initializer, NormalHasItsMoments) {
  const std::int64_t count = 200000;
  const std::vector<float> x = values(Initializer::normal(0.02), 2, "blocks.0.attn.qkv.weight", count);
  // Five standard errors of each moment.
  const double error = 5 / std::sqrt(static_cast<double>(count));
  EXPECT_NEAR(moment(x, 1) / 0.02, 0, error);
  EXPECT_NEAR(moment(x, 2) / (0.02 * 0.02), 1, error * std::sqrt(2.0));
  EXPECT_NEAR(moment(x, 4) / std::pow(0.02, 4), 3, error * std::sqrt(96.0));
}

TEST(Initializer, UniformFillsItsRange) {
  const std::int64_t count = 200000;
  const std::vector<float> x = values(Initializer::uniform(0.5), 3, "weight", count);
  const auto [low, high] = std::minmax_element(x.begin(), x.end());
  EXPECT_GE(*low, -0.5F);
  EXPECT_LE(*high, 0.5F);
  EXPECT_LT(*low, -0.4999F);
  EXPECT_GT(*high, 0.4999F);
  const double error = 5 / std::sqrt(static_cast<double>(count));
  EXPECT_NEAR(moment(x, 1), 0, error * 0.289);
  EXPECT_NEAR(moment(x, 2), 1.0 / 12, error * 0.0746);
}

TEST(Initializer, XavierBound) {
  const Initializer glorot = Initializer::xavier_uniform(100, 50);
  EXPECT_EQ(glorot.kind, Initializer::Kind::uniform);
  EXPECT_DOUBLE_EQ(glorot.value, std::sqrt(6.0 / 150));
  EXPECT_DOUBLE_EQ(Initializer::xavier_uniform().for_matrix(100, 50).value, glorot.value);
  EXPECT_DOUBLE_EQ(Initializer::normal(0.02).for_matrix(100, 50).value, 0.02);
  Linear linear(100, 50, true, Initializer::xavier_uniform());
  EXPECT_DOUBLE_EQ(linear.weight().initializer().value, glorot.value);
  EXPECT_THROW(values(Initializer::xavier_uniform(), 1, "b", 3), Error);  // nobody told the fans
}

TEST(Initializer, DependsOnSeedNameAndElementOnly) {
  const Initializer normal = Initializer::normal(1);
  const std::vector<float> reference = values(normal, 4, "a.weight", 64);
  EXPECT_EQ(values(normal, 4, "a.weight", 64), reference);
  EXPECT_NE(values(normal, 5, "a.weight", 64), reference);
  EXPECT_NE(values(normal, 4, "b.weight", 64), reference);
  // The first elements of a longer parameter are the same; twice the deviation is twice the value.
  const std::vector<float> longer = values(normal, 4, "a.weight", 1000);
  EXPECT_TRUE(std::equal(reference.begin(), reference.end(), longer.begin()));
  const std::vector<float> doubled = values(Initializer::normal(2), 4, "a.weight", 64);
  for (std::size_t i = 0; i < 64; ++i) EXPECT_EQ(doubled[i], 2 * reference[i]);
}

TEST(Initializer, IndependentOfTheRestOfTheModelAndOfPrecision) {
  struct Small : Module {
    Small() { add_child("mlp", linear); }
    Linear linear{6, 4, true, Initializer::normal(0.5)};
  } small;
  struct Large : Module {
    Large() {
      add_child("mlp", linear);
      add_child("head", other);
    }
    Linear other{9, 9, true, Initializer::normal(1)};
    Linear linear{6, 4, true, Initializer::normal(0.5)};
  } large;
  const auto weights = [](Module& module, const char* precision) {
    ParameterStore store(module);
    store.materialise(Precision::named(precision));
    store.initialize(6);
    const Tensor weight = store.view(store.values(), store.slot("mlp.weight"));
    if (weight.dtype() == DType::f32) return weight.to_host<float>();
    const std::vector<double> wide = weight.to_host<double>();
    return std::vector<float>(wide.begin(), wide.end());
  };
  const std::vector<float> reference = weights(small, "float32");
  EXPECT_EQ(weights(large, "float32"), reference);
  EXPECT_EQ(weights(small, "float64"), reference);
  EXPECT_EQ(weights(small, "bfloat16"), reference);
}

TEST(Initializer, MetaIsLeftAloneAndOtherTypesAreAnError) {
  EXPECT_NO_THROW(initialize(Initializer::normal(1), 1, "w", Tensor::meta({5}, DType::f32)));
  EXPECT_THROW(initialize(Initializer::normal(1), 1, "w", Tensor::empty({5}, DType::bf16)), Error);
}

}  // namespace
}  // namespace tessera::nn
