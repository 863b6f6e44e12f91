// Objective "iddpm" on a network that is a formula: the loss as published, its gradients and its draws.
#include <gtest/gtest.h>

#include "base/error.hpp"
#include "ops/channels.hpp"
#include "plugin/noise_schedule.hpp"
#include "unit/ops/gradient_check.hpp"
#include "unit/plugins/formula_network.hpp"

namespace tessera::test {
namespace {

using ops::Variable;

Tensor steps(std::vector<std::int64_t> values) {
  return Tensor::from_host(values, {static_cast<std::int64_t>(values.size())});
}

struct Case {
  explicit Case(DType type = DType::f64, std::vector<std::int64_t> at = {5, 0, 640})
      : x0(random_tensor(latents, type, 1, -1.5, 1.5)),
        draws{steps(std::move(at)), random_tensor(latents, type, 2, -2, 2)} {}

  [[nodiscard]] ObjectiveLoss loss(const Objective& one, const Variable& output,
                                   const TokenMask* mask = nullptr) const {
    const FormulaNetwork network(output.shape()[1], [&](const Backbone::Input&) { return output; });
    return one.loss(network, {x0, {}, mask}, draws);
  }
  Tensor x0;
  ObjectiveDraws draws;
};

TokenMask mask() {
  TokenMask result;
  result.kept = 2;
  result.removed =
      Tensor::from_host(std::vector<float>{1, 0, 1, 1, 0, 1, 0, 1, 0, 1, 1, 1, 1, 1, 1, 1, 0, 0}, {3, 6});
  return result;
}

TEST(Iddpm, TheNetworkSeesTheNoisyLatentAndTheStep) {
  const Case one;
  const NoiseSchedule schedule = NoiseSchedule::linear(1000, 1e-4, 0.02);
  const std::vector<double> x0 = to_doubles(one.x0), n = to_doubles(one.draws.noise);
  const std::vector<std::int64_t> at = one.draws.level.to_host<std::int64_t>();
  bool called = false;
  const FormulaNetwork network(2, [&](const Backbone::Input& input) {
    called = true;
    EXPECT_EQ(to_doubles(input.noise_level), (std::vector<double>{5, 0, 640}));
    const std::vector<double> x = to_doubles(input.latent.value());
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double bar = schedule.alpha_bar(at[i / 48]);
      EXPECT_NEAR(x[i], std::sqrt(bar) * x0[i] + std::sqrt(1 - bar) * n[i], 1e-12);
    }
    return Variable(input.latent.value());
  });
  (void)objective()->loss(network, {one.x0, {}, nullptr}, one.draws);
  EXPECT_TRUE(called);
}

TEST(Iddpm, ANetworkWithoutVarianceHasTheSquaredErrorAlone) {
  const Case one;
  const Tensor output = random_tensor(latents, DType::f64, 3);
  const ObjectiveLoss loss = one.loss(*objective(), Variable(output));
  EXPECT_EQ(loss.parts.count("vb"), 0U);
  const std::vector<double> e = to_doubles(output), n = to_doubles(one.draws.noise);
  for (std::size_t b = 0; b < 3; ++b) {
    double sum = 0;
    for (std::size_t i = b * 48; i < (b + 1) * 48; ++i) sum += (e[i] - n[i]) * (e[i] - n[i]);
    EXPECT_NEAR(to_doubles(loss.per_image.value())[b], sum / 48, 1e-13);
  }
}

TEST(Iddpm, TheLossIsSquaredErrorAndWeightedBound) {
  const Case one;
  const Variable output(random_tensor(outputs, DType::f64, 3));
  const ObjectiveLoss loss = one.loss(*objective(), output);
  const ObjectiveLoss doubled = one.loss(*objective("bound_weight = 2.0"), output);
  for (std::size_t b = 0; b < 3; ++b) {
    const double mse = to_doubles(loss.parts.at("mse"))[b], vb = to_doubles(loss.parts.at("vb"))[b];
    EXPECT_GT(vb, 0);
    EXPECT_NEAR(to_doubles(loss.per_image.value())[b], mse + vb, 1e-13);
    EXPECT_NEAR(to_doubles(doubled.per_image.value())[b], mse + 2 * vb, 1e-12);
  }
}

/// KL of the posterior and the predicted step, from means and variances as published.
TEST(Iddpm, TheBoundIsTheDivergenceOfThePosteriors) {
  const Case one(DType::f64, {5, 77, 999});
  const NoiseSchedule schedule = NoiseSchedule::linear(1000, 1e-4, 0.02);
  const Tensor output = random_tensor(outputs, DType::f64, 3);
  const std::vector<double> out = to_doubles(output), x0 = to_doubles(one.x0),
                            n = to_doubles(one.draws.noise);
  const std::vector<std::int64_t> at = one.draws.level.to_host<std::int64_t>();
  const ObjectiveLoss loss = one.loss(*objective(), Variable(output));
  for (std::size_t b = 0; b < 3; ++b) {
    const double bar = schedule.alpha_bar(at[b]);
    const Posterior q = schedule.posterior(at[b]);
    double sum = 0;
    for (std::size_t i = 0; i < 48; ++i) {
      const double x = std::sqrt(bar) * x0[b * 48 + i] + std::sqrt(1 - bar) * n[b * 48 + i];
      const double predicted = x / std::sqrt(bar) - std::sqrt(1 / bar - 1) * out[b * 96 + i];
      const double f = 0.5 * (out[b * 96 + 48 + i] + 1);
      const double log_variance = f * std::log(schedule.beta(at[b])) + (1 - f) * q.log_variance;
      const double apart =
          (q.from_x0 * x0[b * 48 + i] + q.from_x * x) - (q.from_x0 * predicted + q.from_x * x);
      sum += 0.5 * (-1 + log_variance - q.log_variance + std::exp(q.log_variance - log_variance) +
                    apart * apart * std::exp(-log_variance));
    }
    EXPECT_NEAR(to_doubles(loss.parts.at("vb"))[b], sum / 48 / std::log(2), 1e-10) << b;
  }
}

TEST(Iddpm, Gradients) {
  const Case one;
  const TokenMask kept = mask();
  const Tensor output = random_tensor(outputs, DType::f64, 3);
  const auto error_only = objective("bound_weight = 0.0");
  const auto both = objective();
  for (const TokenMask* use : {static_cast<const TokenMask*>(nullptr), &kept}) {
    expect_gradients(
        [&](const std::vector<Variable>& in) { return one.loss(*error_only, in[0], use).per_image; },
        {output});
    // The bound depends on the predicted noise, but passes no gradient to it: vary the variance alone.
    const Variable epsilon(ops::channel_range(Variable(output), 0, 2).value());
    expect_gradients(
        [&](const std::vector<Variable>& in) {
          const auto join = [&](const Backbone::Input&) {
            Tensor all = Tensor::empty(outputs, DType::f64);
            const std::vector<double> e = to_doubles(epsilon.value()), v = to_doubles(in[0].value());
            for (std::size_t i = 0; i < 144; ++i) {
              all.data<double>()[i / 48 * 96 + i % 48] = e[i];
              all.data<double>()[i / 48 * 96 + 48 + i % 48] = v[i];
            }
            return ops::record(all, {in[0]}, [node = in[0].node()](const Tensor& gradient) {
              const Variable whole(gradient);
              ops::pass_gradient(node, ops::channel_range(whole, 2, 2).value());
            });
          };
          const FormulaNetwork network(4, join);
          return both->loss(network, {one.x0, {}, use}, one.draws).per_image;
        },
        {random_tensor(latents, DType::f64, 4)}, {.tolerance = 1e-8});
  }
}

TEST(Iddpm, TheBoundPassesNothingToThePredictedNoise) {
  for (const std::vector<std::int64_t>& at : {std::vector<std::int64_t>{5, 77, 999}, {0, 0, 1}}) {
    const Case one(DType::f64, at);
    const Tensor output = random_tensor(outputs, DType::f64, 3);
    const auto gradient = [&](const std::string& settings) {
      const Variable leaf = Variable::leaf(output);
      ops::backward(one.loss(*objective(settings), leaf).per_image, random_tensor({3}, DType::f64, 5, 1, 2));
      return to_doubles(leaf.gradient());
    };
    const std::vector<double> with = gradient("bound_weight = 1000.0"),
                              without = gradient("bound_weight = 0.0");
    for (std::size_t i = 0; i < with.size(); ++i) {
      if (i % 96 < 48) {
        EXPECT_EQ(with[i], without[i]) << i;
      } else {
        EXPECT_NE(with[i], 0) << i;
        EXPECT_EQ(without[i], 0) << i;
      }
    }
  }
}

TEST(Iddpm, MaskedTrainingAveragesOverTheKeptTokens) {
  const Case one;
  const TokenMask kept = mask();
  const Tensor output = random_tensor(outputs, DType::f64, 3);
  const ObjectiveLoss masked = one.loss(*objective(), Variable(output), &kept);
  // The mean over kept tokens of what each token would give alone.
  const std::vector<double> removed = to_doubles(kept.removed);
  for (const char* part : {"mse", "vb"}) {
    for (std::size_t b = 0; b < 3; ++b) {
      double sum = 0, count = 0;
      for (std::size_t token = 0; token < 6; ++token) {
        if (removed[b * 6 + token] == 1) continue;
        TokenMask single;
        std::vector<float> others(18, 1.0F);
        others[b * 6 + token] = 0;
        single.removed = Tensor::from_host(others, {3, 6});
        sum += to_doubles(one.loss(*objective(), Variable(output), &single).parts.at(part))[b];
        ++count;
      }
      EXPECT_NEAR(to_doubles(masked.parts.at(part))[b], sum / count, 1e-12) << part;
    }
  }
}

TEST(Iddpm, DrawsDependOnThePlaceInTheGlobalBatchAlone) {
  const auto one = objective();
  const RandomKey key{.seed = 7, .step = 3};
  const ObjectiveDraws all = one->draw(key, 0, {256, 1, 2, 2}, DType::f32);
  const ObjectiveDraws part = one->draw(key, 100, {3, 1, 2, 2}, DType::f32);
  const std::vector<std::int64_t> at = all.level.to_host<std::int64_t>();
  EXPECT_EQ(part.level.to_host<std::int64_t>(),
            std::vector<std::int64_t>(at.begin() + 100, at.begin() + 103));
  EXPECT_EQ(to_doubles(part.noise), to_doubles(all.noise.slice(100, 103)));
  RandomKey next = key;
  next.step = 4;
  EXPECT_NE(one->draw(next, 0, {256, 1, 2, 2}, DType::f32).level.to_host<std::int64_t>(), at);
}

TEST(Iddpm, StepsAreUniform) {
  const auto one = objective("diffusion_steps = 10");
  std::vector<int> counts(10);
  const ObjectiveDraws draws = one->draw({.seed = 1}, 0, {20000, 1, 1, 1}, DType::f32);
  for (const std::int64_t step : draws.level.to_host<std::int64_t>())
    ++counts.at(static_cast<std::size_t>(step));
  for (const int count : counts) EXPECT_NEAR(count, 2000, 200);  // 4.7 standard deviations
}

TEST(Iddpm, BadSettingsAndNetworksAreErrors) {
  const Case one;
  EXPECT_THROW((void)one.loss(*objective(), Variable(random_tensor({3, 3, 4, 6}, DType::f64, 1))), Error);
  EXPECT_THROW((void)Case(DType::f64, {0, 1, 1000})
                   .loss(*objective(), Variable(random_tensor(outputs, DType::f64, 1))),
               Error);
  EXPECT_THROW(
      (void)Case(DType::f64, {0, -1, 2}).loss(*objective(), Variable(random_tensor(outputs, DType::f64, 1))),
      Error);
  EXPECT_THROW((void)objective("beta_start = 0.9"), Error);
}

TEST(Iddpm, MetaTensorsGiveShapesOnly) {
  const MetaScope scope;
  const FormulaNetwork network(4, [](const Backbone::Input& input) {
    EXPECT_TRUE((input.latent.shape() == latents));
    return Variable::leaf(Tensor::empty(outputs, DType::f32));
  });
  const Tensor image = Tensor::empty(latents, DType::f32);
  const ObjectiveLoss loss =
      objective()->loss(network, {image, {}, nullptr}, {Tensor::empty({3}, DType::f32), image});
  EXPECT_TRUE((loss.per_image.shape() == Shape{3}));
  EXPECT_TRUE(loss.per_image.value().is_meta());
}

}  // namespace
}  // namespace tessera::test
