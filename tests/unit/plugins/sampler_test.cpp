// Every sampler on normal data, for which the exact answer is known: it converges to that answer at its
// order.
#include <gtest/gtest.h>

#include "base/error.hpp"
#include "plugin/noise_schedule.hpp"
#include "unit/plugins/gaussian_denoiser.hpp"

namespace tessera::test {
namespace {

constexpr double data_mean = 0.3;

NoiseSchedule published() { return NoiseSchedule::linear(1000, 1e-4, 0.02); }
const std::vector<double>& start() {
  static const std::vector<double> values{-1.5, 0.3, 2};
  return values;
}
const NoiseSource only_start = [](int draw) {
  EXPECT_EQ(draw, 0) << "a deterministic sampler needs one draw";
  return start();
};

/// The largest distance of a variance-preserving sampler's result from the exact path.
double flow_error(const Sampler& sampler, int steps, bool ends_at_zero) {
  const NoiseSchedule schedule = published();
  GaussianDenoiser denoiser(3, data_mean, 0.5);
  const std::vector<double> final = sampler.sample(denoiser, only_start, steps, {});
  const NoiseLevel from = schedule.at(999), to = schedule.at(0);
  double error = 0;
  for (std::size_t i = 0; i < 3; ++i) {
    const double x = start()[i] / from.alpha();
    const double exact = ends_at_zero ? denoiser.flow(x, from.sigma(), 0)
                                      : to.alpha() * denoiser.flow(x, from.sigma(), to.sigma());
    error = std::max(error, std::abs(final[i] - exact));
  }
  return error;
}

TEST(Samplers, DpmSolverIsOfSecondOrder) {
  const auto sampler = make_sampler("dpm-solver++");
  EXPECT_LT(flow_error(*sampler, 200, false), 4e-3);
  EXPECT_NEAR(flow_error(*sampler, 100, false) / flow_error(*sampler, 200, false), 4.0, 0.4);
  EXPECT_NEAR(flow_error(*sampler, 1600, false) / flow_error(*sampler, 3200, false), 4.0, 0.1);
}

TEST(Samplers, SaSolverWithoutNoiseIsOfSecondOrder) {
  const auto sampler = make_sampler("sa-solver", "eta = 0.0");
  EXPECT_LT(flow_error(*sampler, 20, false), 0.02);
  EXPECT_LT(flow_error(*sampler, 200, false), 4e-4);
  // Two errors of opposite sign cancel at 250 steps, so the order shows late.
  EXPECT_NEAR(flow_error(*sampler, 12800, false) / flow_error(*sampler, 25600, false), 4.0, 0.4);
}

TEST(Samplers, DdimIsOfFirstOrder) {
  const auto sampler = make_sampler("ddim");
  EXPECT_LT(flow_error(*sampler, 200, true), 0.02);
  EXPECT_NEAR(flow_error(*sampler, 20, true) / flow_error(*sampler, 40, true), 2.0, 0.1);
  EXPECT_NEAR(flow_error(*sampler, 100, true) / flow_error(*sampler, 200, true), 2.0, 0.1);
}

TEST(Samplers, HeunIsOfSecondOrder) {
  const auto sampler = make_sampler("edm-heun");
  const auto error = [&](int steps) {
    GaussianDenoiser denoiser(3, data_mean, 0.5);
    const SampledRun run = run_sampler(*sampler, denoiser, only_start, steps);
    // The last step goes from the smallest level to 0 at first order: look before it.
    const std::vector<double>& state = run.states[static_cast<std::size_t>(steps) - 2];
    double largest = 0;
    for (std::size_t i = 0; i < 3; ++i) {
      largest = std::max(largest, std::abs(state[i] - denoiser.flow(80 * start()[i], 80, 0.002)));
    }
    return largest;
  };
  EXPECT_LT(error(200), 4e-4);
  EXPECT_NEAR(error(400) / error(800), 4.0, 0.1);
}

TEST(Samplers, SaSolverReachesTheDistribution) {
  const auto sampler = make_sampler("sa-solver");  // eta = 1
  const NoiseLevel last = published().at(0);
  for (const double deviation : {0.5, 1.0, 2.0}) {
    const double exact = std::pow(last.alpha() * deviation, 2) + std::pow(last.deviation(), 2);
    EXPECT_NEAR(exact_moments(*sampler, data_mean, deviation, 800).variance / exact, 1, 1e-4) << deviation;
    EXPECT_NEAR(exact_moments(*sampler, data_mean, deviation, 800).mean, last.alpha() * data_mean, 4e-4);
  }
  const auto error = [&](int steps) {
    return exact_moments(*sampler, data_mean, 2, steps).variance - std::pow(2 * last.alpha(), 2) -
           std::pow(last.deviation(), 2);
  };
  EXPECT_NEAR(error(100) / error(200), 4.5, 0.5);
  EXPECT_NEAR(error(200) / error(400), 4.5, 0.5);
}

/// Variance of the exact denoiser's x0 from x at the process's first level.
double last_denoised_variance(double deviation) {
  const double sigma = published().at(0).sigma();
  return std::pow(deviation, 4) / (deviation * deviation + sigma * sigma);
}

TEST(Samplers, DiscreteSamplersReachTheDistribution) {
  for (const auto& [name, settings] :
       {std::pair{"iddpm", ""}, {"ddim", "eta = 0.5"}, {"ddim", "eta = 1.0"}}) {
    const auto sampler = make_sampler(name, settings);
    for (const double deviation : {0.5, 2.0}) {
      const double exact = last_denoised_variance(deviation);
      const auto error = [&](int steps) {
        return exact_moments(*sampler, data_mean, deviation, steps).variance / exact - 1;
      };
      EXPECT_LT(std::abs(error(1000)), 0.02) << name << settings << deviation;
      EXPECT_NEAR(error(200) / error(400), 1.9, 0.1) << name << settings << deviation;
      EXPECT_NEAR(exact_moments(*sampler, data_mean, deviation, 400).mean, data_mean, 2e-3);
    }
  }
}

TEST(Samplers, AncestralSamplingWithTheRightVarianceIsExactInAnyNumberOfSteps) {
  // For data of variance 1 every x_t has variance 1 and the reverse step's variance is beta.
  const auto sampler = make_sampler("iddpm");
  for (const int steps : {2, 5, 100}) {
    const Moments moments = exact_moments(*sampler, data_mean, 1, steps, 1.0);
    EXPECT_NEAR(moments.variance, last_denoised_variance(1), 1e-12) << steps;
    EXPECT_NEAR(moments.mean, data_mean * (1 - published().alpha_bar(999)), 1e-12) << steps;
  }
}

TEST(Samplers, ThePredictedVarianceIsInterpolatedInTheLogarithm) {
  const auto sampler = make_sampler("iddpm");
  const NoiseSchedule process = published().respaced({0, 999});
  const auto noise_factor = [&](double fraction) {
    GaussianDenoiser denoiser(1, 0, 1);
    denoiser.fraction = fraction;
    const NoiseSource noise = [](int draw) { return std::vector<double>{draw == 1 ? 1.0 : 0.0}; };
    return run_sampler(*sampler, denoiser, noise, 2).states[0][0];
  };
  const Posterior posterior = process.posterior(1);
  EXPECT_NEAR(noise_factor(-1), std::sqrt(posterior.variance), 1e-12);
  EXPECT_NEAR(noise_factor(0), std::sqrt(posterior.variance), 1e-12);
  EXPECT_NEAR(noise_factor(1), std::sqrt(process.beta(1)), 1e-12);
  EXPECT_NEAR(noise_factor(0.25), std::pow(posterior.variance, 0.375) * std::pow(process.beta(1), 0.125),
              1e-12);
}

TEST(Samplers, DdimAtEtaOneIsAncestralSampling) {
  const NoiseSource noise = [](int draw) {
    return std::vector<double>{std::sin(draw + 1.0), std::cos(3.0 * draw), 0.1 * draw};
  };
  GaussianDenoiser denoiser(3, data_mean, 0.5);
  const SampledRun a = run_sampler(*make_sampler("iddpm"), denoiser, noise, 12);
  const SampledRun b = run_sampler(*make_sampler("ddim", "eta = 1.0"), denoiser, noise, 12);
  ASSERT_EQ(a.states.size(), 12U);
  for (std::size_t step = 0; step < 12; ++step) {
    for (std::size_t i = 0; i < 3; ++i) EXPECT_NEAR(a.states[step][i], b.states[step][i], 1e-12);
  }
}

const std::vector<std::pair<std::string, std::string>>& scaled_samplers() {
  static const std::vector<std::pair<std::string, std::string>> all{
      {"dpm-solver++", ""}, {"sa-solver", ""}, {"iddpm", ""}, {"ddim", ""}, {"ddim", "eta = 0.5"}};
  return all;
}
const NoiseSource any_noise = [](int draw) {
  std::vector<double> values;
  for (int i = 0; i < 3; ++i) values.push_back(std::sin(17.0 * draw + i));
  return values;
};

TEST(Samplers, TheTraceShowsStatesAsPublishedAndInputsAsTheDenoiserSeesThem) {
  const NoiseSchedule schedule = published();
  for (const auto& [name, settings] : scaled_samplers()) {
    GaussianDenoiser denoiser(3, data_mean, 0.5);
    const SampledRun run = run_sampler(*make_sampler(name, settings), denoiser, any_noise, 8);
    EXPECT_EQ(run.states.size(), 8U) << name;
    EXPECT_EQ(run.states.back(), run.final) << name;
    ASSERT_EQ(run.sigmas.size(), 8U) << name << " calls the network once a step";
    EXPECT_EQ(run.sigmas, denoiser.asked) << name;
    for (std::size_t step = 0; step < 8; ++step) {
      if (name == "sa-solver" && step > 0)
        continue;  // its network sees the prediction, not the corrected state
      const double alpha = schedule.at(schedule.time_of(run.sigmas[step])).alpha();
      const std::vector<double> state = step == 0 ? any_noise(0) : run.states[step - 1];
      for (std::size_t i = 0; i < 3; ++i) EXPECT_NEAR(alpha * run.inputs[step][i], state[i], 1e-9) << name;
    }
  }
}

TEST(Samplers, StayWithinTheDenoisersRange) {
  const NoiseSchedule schedule = published();
  for (const auto& [name, settings] : scaled_samplers()) {
    GaussianDenoiser denoiser(3, data_mean, 0.5);
    denoiser.lowest = 0.05;
    denoiser.highest = 80;  // as a model trained by EDM: below the process's 157
    const SampledRun run = run_sampler(*make_sampler(name, settings), denoiser, any_noise, 50);
    EXPECT_LE(run.sigmas.front(), 80 * (1 + 1e-9)) << name;
    EXPECT_GT(run.sigmas.front(), 79) << name;
    EXPECT_GE(run.sigmas.back(), 0.05 * (1 - 1e-9)) << name;
    for (const double value : run.final) EXPECT_TRUE(std::isfinite(value)) << name;
    if (name == "dpm-solver++") {
      const NoiseLevel from = schedule.at(schedule.time_of(80)), to = schedule.at(schedule.time_of(0.05));
      const auto fine = make_sampler(name)->sample(denoiser, any_noise, 1000, {});
      for (std::size_t i = 0; i < 3; ++i) {
        const double x = denoiser.flow(any_noise(0)[i] / from.alpha(), from.sigma(), to.sigma());
        EXPECT_NEAR(fine[i], to.alpha() * x, 1e-4);
      }
    }
    denoiser.lowest = 200;
    denoiser.highest = 300;
    EXPECT_THROW((void)run_sampler(*make_sampler(name, settings), denoiser, any_noise, 50), Error) << name;
  }
}

TEST(Samplers, DefaultsAndBadSettings) {
  EXPECT_EQ(make_sampler("dpm-solver++")->default_steps(), 20);
  EXPECT_EQ(make_sampler("sa-solver")->default_steps(), 25);
  EXPECT_EQ(make_sampler("iddpm")->default_steps(), 100);
  EXPECT_EQ(make_sampler("ddim")->default_steps(), 50);
  for (const auto& [name, settings] : scaled_samplers()) {
    GaussianDenoiser denoiser(3, data_mean, 0.5);
    const auto sampler = make_sampler(name, settings);
    EXPECT_EQ(run_sampler(*sampler, denoiser, any_noise, 0).sigmas.size(),
              static_cast<std::size_t>(sampler->default_steps()))
        << name;
    EXPECT_THROW((void)run_sampler(*sampler, denoiser, any_noise, -1), Error) << name;
  }
  EXPECT_THROW((void)make_sampler("ddim", "eta = 1.5"), Error);
  EXPECT_THROW((void)make_sampler("dpm-solver++", "eta = 0.5"), Error);
  EXPECT_THROW((void)make_sampler("sa-solver", "beta_start = 0.5"), Error);
}

}  // namespace
}  // namespace tessera::test
