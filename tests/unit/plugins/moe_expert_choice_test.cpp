// The feed-forward of experts as a whole: values against a plain loop over tokens, gradients of the input and
// of every parameter against finite differences, widths and counts against the rules.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "nn/mlp.hpp"
#include "nn/parameter_store.hpp"
#include "plugin/assembly.hpp"
#include "plugin/slots/feed_forward.hpp"
#include "unit/ops/gradient_check.hpp"

namespace tessera {
namespace {

using test::random_tensor;
using test::to_doubles;

constexpr std::int64_t batch = 2, tokens = 9, width = 6, experts = 3;
constexpr std::int64_t chosen_tokens = 4;  // int(1.4 * 9 / 3)

struct Experts {
  explicit Experts(const std::string& activation, double ratio = 2.5) {
    static const Registry registry = Registry::with_installed_plugins();
    ConfigTree tree;
    tree.set("experts.name", FieldValue(std::string("moe-expert-choice")));
    tree.set("experts.experts", FieldValue(experts));
    tree.set("experts.capacity", FieldValue(1.4));
    tree.set("experts.multiple_of", FieldValue(std::int64_t{4}));
    tree.set("experts.activation", FieldValue(activation));
    Assembly assembly(registry, tree);
    layer = assembly.make<FeedForward>("experts", {.width = width, .ratio = ratio});
    store = std::make_unique<nn::ParameterStore>(*layer);
    store->materialise(nn::Precision::named("float64"));
    std::uint32_t seed = 10;
    for (const nn::ParameterSlot& slot : store->slots()) {
      const double size = slot.name == "gate.weight" ? 3 : 1;  // decided routing: no tie within a difference
      at(slot.name).copy_from(random_tensor(slot.parameter->shape(), DType::f64, ++seed, -size, size));
    }
  }
  [[nodiscard]] Tensor at(const std::string& name) const {
    return store->view(store->values(), store->slot(name));
  }
  [[nodiscard]] std::vector<double> values(const std::string& name) const { return to_doubles(at(name)); }

  std::unique_ptr<FeedForward> layer;
  std::unique_ptr<nn::ParameterStore> store;
};

/// x [in] times matrix `expert` of w [experts, in, out].
std::vector<double> product(const std::vector<double>& x, const std::vector<double>& w, std::size_t expert) {
  const std::size_t out = w.size() / static_cast<std::size_t>(experts) / x.size();
  std::vector<double> y(out, 0.0);
  for (std::size_t i = 0; i < x.size(); ++i) {
    for (std::size_t o = 0; o < out; ++o) y[o] += x[i] * w[(expert * x.size() + i) * out + o];
  }
  return y;
}

double silu(double x) { return x / (1 + std::exp(-x)); }
double gelu(double x) { return 0.5 * x * std::erfc(-x / std::sqrt(2.0)); }

/// One image at a time, one expert at a time, one token at a time.
std::vector<double> by_loops(const Experts& e, bool gated, const std::vector<double>& x) {
  const std::vector<double> gate = e.values("gate.weight");
  const std::vector<double> w1 = e.values("w1");
  const std::vector<double> w2 = e.values("w2");
  const std::vector<double> w3 = gated ? e.values("w3") : std::vector<double>();
  std::vector<double> y(x.size(), 0.0);
  for (std::size_t b = 0; b < static_cast<std::size_t>(batch); ++b) {
    std::vector<std::vector<double>> image;
    std::vector<std::vector<double>> probabilities;
    for (std::size_t t = 0; t < static_cast<std::size_t>(tokens); ++t) {
      const auto begin =
          x.begin() + (static_cast<std::ptrdiff_t>(b) * tokens + static_cast<std::ptrdiff_t>(t)) * width;
      image.emplace_back(begin, begin + width);
      std::vector<double> p;
      for (std::size_t k = 0; k < static_cast<std::size_t>(experts); ++k) {
        double logit = 0;
        for (std::size_t i = 0; i < image[t].size(); ++i)
          logit += image[t][i] * gate[k * image[t].size() + i];
        p.push_back(std::exp(logit));
      }
      const double total = std::accumulate(p.begin(), p.end(), 0.0);
      for (double& value : p) value /= total;
      probabilities.push_back(p);
    }
    for (std::size_t k = 0; k < static_cast<std::size_t>(experts); ++k) {
      std::vector<std::size_t> order(image.size());
      std::iota(order.begin(), order.end(), 0U);
      std::sort(order.begin(), order.end(),
                [&](std::size_t s, std::size_t t) { return probabilities[s][k] > probabilities[t][k]; });
      for (std::size_t n = 0; n < static_cast<std::size_t>(chosen_tokens); ++n) {
        const std::size_t t = order[n];
        std::vector<double> hidden = product(image[t], w1, k);
        const std::vector<double> value = gated ? product(image[t], w2, k) : std::vector<double>();
        for (std::size_t i = 0; i < hidden.size(); ++i) {
          hidden[i] = gated ? silu(hidden[i]) * value[i] : gelu(hidden[i]);
        }
        const std::vector<double> out = product(hidden, gated ? w3 : w2, k);
        for (std::size_t i = 0; i < out.size(); ++i) {
          y[(b * static_cast<std::size_t>(tokens) + t) * out.size() + i] += probabilities[t][k] * out[i];
        }
      }
    }
  }
  return y;
}

class ExpertChoice : public testing::TestWithParam<const char*> {
 protected:
  [[nodiscard]] bool gated() const { return std::string(GetParam()) == "swiglu"; }
  const Tensor input_ = random_tensor({batch, tokens, width}, DType::f64, 3);
};

TEST_P(ExpertChoice, ValuesAreThoseOfPlainLoops) {
  const Experts e(GetParam());
  const ops::Variable y = e.layer->forward(ops::Variable(input_));
  EXPECT_TRUE((y.shape() == Shape{batch, tokens, width}));
  test::expect_near(to_doubles(y.value()), by_loops(e, gated(), to_doubles(input_)), 1e-13);
}

TEST_P(ExpertChoice, GradientOfTheInput) {
  const Experts e(GetParam());
  test::expect_gradients([&](const std::vector<ops::Variable>& in) { return e.layer->forward(in[0]); },
                         {input_});
}

TEST_P(ExpertChoice, GradientsOfTheParameters) {
  const Experts e(GetParam());
  const std::vector<double> weights = to_doubles(random_tensor(input_.shape(), DType::f64, 977));
  e.store->clear_gradients();
  ops::backward(e.layer->forward(ops::Variable(input_)), random_tensor(input_.shape(), DType::f64, 977));
  const auto loss = [&] {
    const std::vector<double> y = by_loops(e, gated(), to_doubles(input_));
    return std::inner_product(y.begin(), y.end(), weights.begin(), 0.0);
  };
  for (const nn::ParameterSlot& slot : e.store->slots()) {
    const Tensor values = e.at(slot.name);
    std::vector<double> expected;
    for (std::int64_t i = 0; i < values.numel(); ++i) {
      double& value = values.data<double>()[i];
      const double original = value;
      value = original + 1e-5;
      const double above = loss();
      value = original - 1e-5;
      expected.push_back((above - loss()) / 2e-5);
      value = original;
    }
    test::expect_near(to_doubles(slot.parameter->master().gradient()), expected, 1e-7, slot.name);
  }
}

INSTANTIATE_TEST_SUITE_P(Activations, ExpertChoice, testing::Values("gelu", "swiglu"),
                         [](const auto& parameter) { return std::string(parameter.param); });

TEST(ExpertChoiceWidths, GeluTakesTheWholeRatioAndSwigluTwoThirds) {
  const Experts gelu_experts("gelu");  // int(6 * 2.5) = 15, rounded up to 16
  EXPECT_EQ(gelu_experts.store->slots().size(), 3U);
  EXPECT_EQ(gelu_experts.at("w1").shape(), (Shape{experts, width, 16}));
  EXPECT_EQ(gelu_experts.at("w2").shape(), (Shape{experts, 16, width}));
  const Experts swiglu_experts("swiglu");  // int(2/3 * 15) = 10, rounded up to 12
  EXPECT_EQ(swiglu_experts.store->slots().size(), 4U);
  EXPECT_EQ(swiglu_experts.at("w1").shape(), (Shape{experts, width, 12}));
  EXPECT_EQ(swiglu_experts.at("w2").shape(), (Shape{experts, width, 12}));
  EXPECT_EQ(swiglu_experts.at("w3").shape(), (Shape{experts, 12, width}));
  for (const nn::ParameterSlot& slot : swiglu_experts.store->slots()) {
    EXPECT_EQ(slot.parameter->options().expert, slot.name != "gate.weight") << slot.name;
    EXPECT_EQ(slot.parameter->options().learning_rate_factor, slot.name == "gate.weight" ? 1.0 : 0.5);
  }
}

TEST(ExpertChoiceWidths, AnUnknownActivationIsRefused) {
  try {
    const Experts e("relu");
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_THAT(std::string(error.what()),
                testing::AllOf(testing::HasSubstr("activation"), testing::HasSubstr("relu"),
                               testing::HasSubstr("swiglu")));
  }
}

}  // namespace
}  // namespace tessera
