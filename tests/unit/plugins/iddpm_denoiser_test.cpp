// The denoiser of objective "iddpm": coordinates, time, predicted variance and guidance.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/error.hpp"
#include "plugin/noise_schedule.hpp"
#include "unit/ops/gradient_check.hpp"
#include "unit/plugins/formula_network.hpp"

namespace tessera::test {
namespace {

using ops::Variable;

TEST(IddpmDenoiser, InvertsTheNoising) {
  const NoiseSchedule schedule = NoiseSchedule::linear(1000, 1e-4, 0.02);
  const Tensor x0 = random_tensor(latents, DType::f64, 1), n = random_tensor(latents, DType::f64, 2);
  const std::vector<double> clean = to_doubles(x0), noise = to_doubles(n);
  for (const double time : {0.0, 37.0, 499.5, 999.0}) {
    const double sigma = schedule.at(time).sigma();
    FormulaNetwork network(4, [&](const Backbone::Input& input) {
      const std::vector<double> levels = to_doubles(input.noise_level);
      EXPECT_EQ(levels.size(), 3U);
      EXPECT_NEAR(levels[0], time, 1e-9);
      const std::vector<double> seen = to_doubles(input.latent.value());
      std::vector<double> output(288);
      for (std::size_t i = 0; i < 144; ++i) {
        const NoiseLevel level = schedule.at(time);
        EXPECT_NEAR(seen[i], level.alpha() * clean[i] + level.deviation() * noise[i], 1e-10);
        output[i / 48 * 96 + i % 48] = noise[i];
        output[i / 48 * 96 + 48 + i % 48] = 0.01 * static_cast<double>(i);
      }
      return Variable(Tensor::from_host(output, outputs));
    });
    network.set_precision(nn::Precision::named("float64"));
    const auto denoiser = objective()->denoiser(network, request());
    EXPECT_NEAR(denoiser->sigma_min(), 0.0100005, 1e-7);
    EXPECT_NEAR(denoiser->sigma_max(), 157.407, 1e-3);
    std::vector<double> x(144);
    for (std::size_t i = 0; i < 144; ++i) x[i] = clean[i] + sigma * noise[i];
    const Denoised denoised = denoiser->denoise(x, sigma);
    for (std::size_t i = 0; i < 144; ++i) {
      EXPECT_NEAR(denoised.latent[i], clean[i], 1e-12);
      EXPECT_NEAR(denoised.log_variance_fraction[i], 0.5 * (0.01 * static_cast<double>(i) + 1), 1e-12);
    }
  }
}

/// Image b of the guided batch [conditional; unconditional] of three is known by its place.
TEST(IddpmDenoiser, GuidanceActsOnTheChosenChannelsOfTheNoise) {
  const auto denoised = [](const std::string& settings) {
    FormulaNetwork network(4, [](const Backbone::Input& input) {
      EXPECT_EQ(input.latent.shape()[0], 6);
      std::vector<double> output(576);
      for (std::size_t i = 0; i < 576; ++i) output[i] = i < 288 ? 3.0 : 1.0;  // conditional, then not
      return Variable(Tensor::from_host(output, {6, 4, 4, 6}));
    });
    network.set_precision(nn::Precision::named("float64"));
    DenoiserRequest what = request();
    what.guidance = 4;
    return objective(settings)->denoiser(network, what)->denoise(std::vector<double>(144), 2.0);
  };
  const Denoised all = denoised("");
  const Denoised one = denoised("guided_channels = 1");
  for (std::size_t i = 0; i < 144; ++i) {
    EXPECT_NEAR(all.latent[i], -2 * (1 + 4 * 2), 1e-12);
    EXPECT_NEAR(one.latent[i], i % 48 < 24 ? -2 * (1 + 4 * 2) : -2 * 3, 1e-12);
    EXPECT_NEAR(all.log_variance_fraction[i], 0.5 * (3 + 1), 1e-12) << "the conditional variance";
  }
}

/// Clipped after guidance, as the published samplers of pixels do.
TEST(IddpmDenoiser, ClipsTheGuidedX0) {
  const auto denoised = [](const std::string& settings) {
    FormulaNetwork network(4, [](const Backbone::Input&) {
      std::vector<double> output(576);
      for (std::size_t i = 0; i < 576; ++i) output[i] = 0.001 * static_cast<double>(i < 288 ? i : 288);
      return Variable(Tensor::from_host(output, {6, 4, 4, 6}));
    });
    network.set_precision(nn::Precision::named("float64"));
    DenoiserRequest what = request();
    what.guidance = 4;
    return objective(settings)->denoiser(network, what)->denoise(std::vector<double>(144, 0.5), 2.0);
  };
  const Denoised free = denoised(""), clipped = denoised("clip_denoised = 0.75");
  std::size_t inside = 0;
  for (std::size_t i = 0; i < 144; ++i) {
    EXPECT_EQ(clipped.latent[i], std::min(0.75, std::max(-0.75, free.latent[i])));
    inside += free.latent[i] == clipped.latent[i] ? 1 : 0;
  }
  EXPECT_GT(inside, 0U);
  EXPECT_LT(inside, 144U);
  EXPECT_EQ(clipped.log_variance_fraction, free.log_variance_fraction);
}

TEST(IddpmDenoiser, ClippingHidesNoNan) {
  FormulaNetwork network(4, [](const Backbone::Input&) {
    return Variable(Tensor::from_host(std::vector<double>(288, std::nan("")), outputs));
  });
  network.set_precision(nn::Precision::named("float64"));
  const auto denoiser = objective("clip_denoised = 1.0")->denoiser(network, request());
  for (const double value : denoiser->denoise(std::vector<double>(144), 2.0).latent)
    EXPECT_TRUE(std::isnan(value));
}

TEST(IddpmDenoiser, ANetworkWithoutVariancePredictsNone) {
  FormulaNetwork network(2, [](const Backbone::Input& input) { return input.latent; });
  network.set_precision(nn::Precision::named("float64"));
  EXPECT_TRUE(objective()
                  ->denoiser(network, request())
                  ->denoise(std::vector<double>(144), 2.0)
                  .log_variance_fraction.empty());
}

TEST(IddpmDenoiser, BadSettingsAndNetworksAreErrors) {
  const auto ask = [](std::int64_t channels, const std::string& settings) {
    const FormulaNetwork network(channels, [](const Backbone::Input& input) { return input.latent; });
    return objective(settings)->denoiser(network, request());
  };
  EXPECT_THROW((void)ask(4, "guided_channels = 3"), Error);
  EXPECT_THROW((void)ask(3, ""), Error);
}

}  // namespace
}  // namespace tessera::test
