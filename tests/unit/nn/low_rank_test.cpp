// Low-rank branches of linear layers, against plain loops and finite differences.
#include "nn/low_rank.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>

#include "nn/layers.hpp"
#include "nn/parameter_store.hpp"
#include "unit/ops/gradient_check.hpp"

namespace tessera::nn {
namespace {

using test::expect_near;
using test::random_tensor;
using test::to_doubles;

constexpr std::int64_t in = 6;
constexpr std::int64_t out = 5;
constexpr std::int64_t rank = 3;
constexpr double factor = 0.7;

/// A frozen layer with a branch, all values random.
struct Adapted {
  explicit Adapted(const char* precision, bool random = true) {
    freeze(linear);
    linear.add_low_rank({rank, factor});
    store = std::make_unique<ParameterStore>(linear);
    store->materialise(Precision::named(precision));
    store->initialize(3);
    std::uint32_t seed = 20;
    for (const ParameterSlot& slot : store->slots()) {
      if (random) view(slot).copy_from(random_tensor(slot.parameter->shape(), view(slot).dtype(), seed++));
    }
    store->refresh_compute_copy();
  }
  [[nodiscard]] Tensor view(const ParameterSlot& slot) const { return store->view(store->values(), slot); }
  [[nodiscard]] Tensor tensor(const char* name) const { return view(store->slot(name)); }
  [[nodiscard]] std::vector<double> values(const char* name) const { return to_doubles(tensor(name)); }

  Linear linear{in, out, true, Initializer::normal(1)};
  std::unique_ptr<ParameterStore> store;
};

/// W + factor B A, element by element.
std::vector<double> sum_of(const Adapted& model) {
  std::vector<double> w = model.values("weight");
  const std::vector<double> a = model.values("lora_A.weight");
  const std::vector<double> b = model.values("lora_B.weight");
  for (std::size_t o = 0; o < out; ++o) {
    for (std::size_t i = 0; i < in; ++i) {
      for (std::size_t r = 0; r < rank; ++r) w[o * in + i] += factor * b[o * rank + r] * a[r * in + i];
    }
  }
  return w;
}

/// y[n, o] = sum_i x[n, i] w[o, i] + bias[o]
std::vector<double> product(const std::vector<double>& x, const std::vector<double>& w,
                            const std::vector<double>& bias) {
  std::vector<double> y;
  for (std::size_t n = 0; n < x.size() / in; ++n) {
    for (std::size_t o = 0; o < out; ++o) {
      y.push_back(bias[o]);
      for (std::size_t i = 0; i < in; ++i) y.back() += x[n * in + i] * w[o * in + i];
    }
  }
  return y;
}

TEST(LowRank, AddsTheProductOfBothMatrices) {
  const Adapted model("float64");
  const Tensor x = random_tensor({2, 4, in}, DType::f64, 1);
  const std::vector<double> expected = product(to_doubles(x), sum_of(model), model.values("bias"));
  const ops::Variable y = model.linear.forward(ops::Variable(x));
  EXPECT_TRUE((y.shape() == Shape{2, 4, out}));
  expect_near(to_doubles(y.value()), expected, 1e-14);
  expect_near(to_doubles(model.linear.forward_exact(ops::Variable(x)).value()), expected, 1e-14);
}

TEST(LowRank, RoundsAsTheRunDoesAndExactlyWhereItMatters) {
  const Adapted model("bfloat16");
  const ops::Variable x(random_tensor({7, in}, DType::f32, 2));
  const std::vector<double> expected = product(to_doubles(x.value()), sum_of(model), model.values("bias"));
  EXPECT_EQ(model.linear.forward(x).dtype(), model.store->precision().activation);
  EXPECT_EQ(model.linear.forward(x, DType::bf16).dtype(), DType::bf16);
  expect_near(to_doubles(model.linear.forward(x, DType::f32).value()), expected, 3e-2);
  EXPECT_EQ(model.linear.forward_exact(x).dtype(), DType::f32);
  expect_near(to_doubles(model.linear.forward_exact(x).value()), expected, 1e-6);
}

TEST(LowRank, StartsWithoutEffectOnTheLayer) {
  const Adapted model("float32", false);
  Linear plain(in, out, true, Initializer::normal(1));
  ParameterStore store(plain);
  store.materialise(Precision::named("float32"));
  store.initialize(3);
  const ops::Variable x(random_tensor({7, in}, DType::f32, 4));
  EXPECT_EQ(to_doubles(model.linear.forward(x).value()), to_doubles(plain.forward(x).value()));
  EXPECT_EQ(model.values("lora_B.weight"), std::vector<double>(out * rank, 0.0));
  // U(-1/sqrt(in), 1/sqrt(in)): kaiming_uniform_ with a = sqrt(5) has the bound sqrt(6 / ((1 + 5) in)).
  const double bound = 1 / std::sqrt(static_cast<double>(in));
  double most = 0;
  for (const double value : model.values("lora_A.weight")) most = std::max(most, std::abs(value));
  EXPECT_LE(most, bound);
  EXPECT_GT(most, 0.7 * bound);
}

TEST(LowRank, TheGaussianStartHasTheDeviationOfPeft) {
  LowRank branch(400, 4, {.rank = 8, .start = LowRankSpec::Start::gaussian});
  ParameterStore store(branch);
  store.materialise(Precision::named("float32"));
  store.initialize(5);
  double squares = 0;
  const std::vector<double> a = to_doubles(store.view(store.values(), store.slot("lora_A.weight")));
  for (const double value : a) squares += value * value;
  EXPECT_NEAR(std::sqrt(squares / static_cast<double>(a.size())) * 8, 1.0, 0.05);  // 3200 values
}

/// Gradients of sum w y for what is trained, against central differences of the values.
TEST(LowRank, GradientsOfItsMatricesAndOfTheInput) {
  Adapted model("float64");
  const Tensor x = random_tensor({4, in}, DType::f64, 6);
  for (const bool exact : {false, true}) {
    const auto forward = [&](const ops::Variable& at) {
      return exact ? model.linear.forward_exact(at) : model.linear.forward(at);
    };
    test::expect_gradients([&](const std::vector<ops::Variable>& at) { return forward(at[0]); }, {x});

    const Tensor weights = random_tensor({4, out}, DType::f64, 7);
    const auto loss = [&] {
      const ops::NoGradScope scope;
      const std::vector<double> w = to_doubles(weights);
      const std::vector<double> y = to_doubles(forward(ops::Variable(x)).value());
      double sum = 0;
      for (std::size_t i = 0; i < y.size(); ++i) sum += w[i] * y[i];
      return sum;
    };
    model.store->clear_gradients();
    // The input is a constant, as it is for the first layers of a frozen model.
    ops::backward(forward(ops::Variable(x)), random_tensor({4, out}, DType::f64, 7));
    ASSERT_EQ(model.store->trainable_slots().size(), 2U);
    for (const ParameterSlot& slot : model.store->trainable_slots()) {
      ASSERT_TRUE(slot.parameter->master().node()->has_gradient()) << slot.name;
      double* values = model.view(slot).data<double>();
      std::vector<double> expected;
      for (std::int64_t i = 0; i < slot.count; ++i) {
        const double original = values[i];
        values[i] = original + 1e-5;
        const double above = loss();
        values[i] = original - 1e-5;
        expected.push_back((above - loss()) / 2e-5);
        values[i] = original;
      }
      expect_near(to_doubles(model.store->view(model.store->gradients(), slot)), expected, 1e-8, slot.name);
    }
    EXPECT_FALSE(model.linear.weight().master().requires_grad());
  }
}

TEST(LowRank, MergedIsUnmergedToRounding) {
  for (const char* precision : {"float64", "float32"}) {
    SCOPED_TRACE(precision);
    const double rounding = precision[5] == '6' ? 1e-14 : 1e-6;
    Adapted model(precision);
    const ops::Variable x(random_tensor({9, in}, model.store->precision().parameter, 8));
    const std::vector<double> unmerged = to_doubles(model.linear.forward(x).value());
    const std::vector<double> before = model.values("weight");
    const std::vector<double> sum = sum_of(model);

    model.linear.merge_low_rank();
    expect_near(model.values("weight"), sum, rounding);
    expect_near(to_doubles(model.linear.forward(x).value()), unmerged, rounding);
    expect_near(to_doubles(model.linear.forward_exact(x).value()), unmerged, rounding);
    EXPECT_THROW(model.linear.merge_low_rank(), Error);

    model.linear.unmerge_low_rank();
    expect_near(model.values("weight"), before, rounding);
    expect_near(to_doubles(model.linear.forward(x).value()), unmerged, rounding);
    EXPECT_THROW(model.linear.unmerge_low_rank(), Error);

    model.linear.merge_low_rank(false);  // another rank has written
    expect_near(model.values("weight"), before, rounding);
    EXPECT_NE(to_doubles(model.linear.forward(x).value()), unmerged);
  }
}

TEST(LowRank, IsAttachedOnceAndBeforeTheMemory) {
  Linear linear(in, out, false, Initializer::normal(1));
  EXPECT_FALSE(linear.has_low_rank());
  EXPECT_THROW(linear.merge_low_rank(), Error);
  linear.add_low_rank({rank, factor});
  EXPECT_TRUE(linear.has_low_rank());
  EXPECT_THROW(linear.add_low_rank({rank, factor}), Error);
  std::vector<std::string> names;
  for (const NamedParameter& named : linear.parameters("blocks.0.attn.qkv")) names.push_back(named.name);
  EXPECT_EQ(names, (std::vector<std::string>{"blocks.0.attn.qkv.weight", "blocks.0.attn.qkv.lora_A.weight",
                                             "blocks.0.attn.qkv.lora_B.weight"}));
  Linear late(in, out, false, Initializer::normal(1));
  ParameterStore store(late);
  store.materialise(Precision::named("float32"));
  EXPECT_THROW(late.add_low_rank({rank, factor}), Error);
}

}  // namespace
}  // namespace tessera::nn
