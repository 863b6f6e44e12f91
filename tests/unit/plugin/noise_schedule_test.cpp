// The schedule of 1000 linear betas against published numbers, and its continuous extension against itself.
#include "plugin/noise_schedule.hpp"

#include <gtest/gtest.h>

#include "base/error.hpp"
#include "plugin/respacing.hpp"

namespace tessera {
namespace {

NoiseSchedule published() { return NoiseSchedule::linear(1000, 1e-4, 0.02); }

TEST(NoiseSchedule, PublishedNumbers) {
  const NoiseSchedule schedule = published();
  EXPECT_EQ(schedule.steps(), 1000);
  EXPECT_DOUBLE_EQ(schedule.alpha_bar(0), 0.9999);
  EXPECT_NEAR(schedule.alpha_bar(500), 0.0777967, 5e-8);
  EXPECT_NEAR(schedule.alpha_bar(999), 4.0358e-5, 5e-10);
  EXPECT_NEAR(schedule.posterior(0).log_variance, -9.816725, 5e-7);
  EXPECT_EQ(schedule.posterior(0).log_variance, schedule.posterior(1).log_variance);
  EXPECT_EQ(schedule.posterior(0).variance, 0);
  EXPECT_NEAR(schedule.posterior(0).from_x0, 1, 1e-11);
  EXPECT_EQ(schedule.posterior(0).from_x, 0);
}

TEST(NoiseSchedule, LevelsOfTwentyStepsOfDpmSolver) {
  const NoiseSchedule schedule = published();
  // Continuous time t = 1, ..., 0.001 is step (t - 0.001) * 1000.
  const double expected[] = {-5.0588, -4.5667, -4.0998, -3.6581, -3.2414, -2.8495, -2.4820,
                             -2.1380, -1.8165, -1.5158, -1.2336, -.9668,  -.7115,  -.4626,
                             -.2137,  .0442,   .3247,   .6512,   1.0732,  1.7381,  4.6051};
  for (int k = 0; k <= 20; ++k) {
    EXPECT_NEAR(schedule.at(999.0 * (20 - k) / 20).half_log_snr(), expected[k], 6e-5) << k;
  }
  EXPECT_NEAR(schedule.at(999).alpha(), .006353, 5e-7);
  EXPECT_NEAR(schedule.at(999).deviation(), .999980, 5e-7);
  EXPECT_NEAR(schedule.at(499.5).alpha(), .279626, 5e-7);
  EXPECT_NEAR(schedule.at(499.5).deviation(), .960109, 5e-7);
  EXPECT_NEAR(schedule.at(0).alpha(), .999950, 5e-7);
  EXPECT_NEAR(schedule.at(0).deviation(), .01, 1e-12);
}

TEST(NoiseSchedule, LevelsAgreeWithTheTableAtWholeSteps) {
  const NoiseSchedule schedule = published();
  for (std::int64_t step = 0; step < 1000; ++step) {
    const NoiseLevel level = schedule.at(static_cast<double>(step));
    EXPECT_NEAR(level.alpha() * level.alpha() / schedule.alpha_bar(step), 1, 1e-12);
    EXPECT_NEAR(level.deviation() * level.deviation() / (1 - schedule.alpha_bar(step)), 1, 1e-11);
    EXPECT_NEAR(level.sigma() * level.alpha() / level.deviation(), 1, 1e-12);
    EXPECT_NEAR(std::exp(-level.half_log_snr()) / level.sigma(), 1, 1e-12);
  }
}

TEST(NoiseSchedule, TimeOfSigmaInvertsTheLevels) {
  const NoiseSchedule schedule = published();
  for (int k = 0; k <= 9990; ++k) {
    EXPECT_NEAR(schedule.time_of(schedule.at(k / 10.0).sigma()), k / 10.0, 1e-9);
  }
  EXPECT_EQ(schedule.time_of(0.0), 0);
  EXPECT_EQ(schedule.time_of(1e-3), 0);
  EXPECT_EQ(schedule.time_of(1e9), 999);
  EXPECT_EQ(schedule.at(-5).time, 0);
  EXPECT_EQ(schedule.at(2000).time, 999);
}

TEST(NoiseSchedule, PosteriorsAreThoseOfBayesRule) {
  // p(x_{i-1} | x_0) p(x_i | x_{i-1}) as a normal density of x_{i-1}, completing the square.
  const NoiseSchedule schedule = published();
  for (const std::int64_t step : {1, 2, 57, 500, 999}) {
    const double beta = schedule.beta(step);
    const double before = schedule.alpha_bar_before(step);
    const double precision = 1 / (1 - before) + (1 - beta) / beta;
    const Posterior posterior = schedule.posterior(step);
    EXPECT_NEAR(posterior.variance * precision, 1, 1e-10) << step;
    EXPECT_NEAR(posterior.from_x0 * precision * (1 - before) / std::sqrt(before), 1, 1e-10) << step;
    EXPECT_NEAR(posterior.from_x * precision * beta / std::sqrt(1 - beta), 1, 1e-10) << step;
    EXPECT_NEAR(posterior.log_variance, std::log(posterior.variance), 1e-12) << step;
    EXPECT_NEAR(posterior.log_beta, std::log(beta), 1e-12) << step;
  }
}

TEST(NoiseSchedule, RespacedBetas) {
  const NoiseSchedule schedule = published();
  const std::vector<std::int64_t> kept = even_steps(1000, {100});
  const NoiseSchedule respaced = schedule.respaced(kept);
  ASSERT_EQ(respaced.steps(), 100);
  EXPECT_NEAR(respaced.beta(0), 1.0e-4, 1e-12);
  EXPECT_NEAR(respaced.beta(1), .0020936, 5e-8);
  EXPECT_NEAR(respaced.beta(50), .105258, 5e-7);
  EXPECT_NEAR(respaced.beta(99), .182180, 5e-7);
  for (std::int64_t i = 0; i < 100; ++i) {
    EXPECT_NEAR(respaced.alpha_bar(i) / schedule.alpha_bar(kept[static_cast<std::size_t>(i)]), 1, 1e-12);
  }
}

TEST(NoiseSchedule, BadSettingsAreErrors) {
  EXPECT_THROW(NoiseSchedule({0.1}), Error);
  EXPECT_THROW(NoiseSchedule({0.1, 0.0}), Error);
  EXPECT_THROW(NoiseSchedule({0.1, 1.0}), Error);
  Schema schema("any", "");
  NoiseSchedule::describe(schema);
  EXPECT_EQ(NoiseSchedule::from(Config::from_defaults(schema)).alpha_bar(999), published().alpha_bar(999));
  const ConfigTree swapped = ConfigTree::parse("beta_start = 0.5\nbeta_end = 0.1", "run.toml");
  EXPECT_THROW((void)NoiseSchedule::from(Config::resolve(swapped, schema)), Error);
}

}  // namespace
}  // namespace tessera
