// The sinusoid of noise levels against plain loops and against what PyTorch computes for the published
// models.
#include "ops/sinusoid.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "unit/ops/gradient_check.hpp"

namespace tessera {
namespace {

TEST(Sinusoid, CosinesThenSinesOfTheLevelTimesTheFrequencies) {
  const Tensor level = Tensor::from_host(std::vector<double>{0.0, 1.0, -1.25, 0.3}, {4});
  const std::vector<double> level_values = test::to_doubles(level);
  for (const DType type : {DType::f64, DType::f32}) {
    const std::vector<double> actual = test::to_doubles(ops::sinusoid(level, 512, type));
    std::vector<double> expected;
    for (const double value : level_values) {
      for (int j = 0; j < 256; ++j) expected.push_back(std::cos(value * std::pow(10000.0, -j / 256.0)));
      for (int j = 0; j < 256; ++j) expected.push_back(std::sin(value * std::pow(10000.0, -j / 256.0)));
    }
    test::expect_near(actual, expected, 3e-7);
  }
}

// TimestepEmbedder.timestep_embedding of the official code at t = 1, width 512: sines where a frequency from
// an exact exponent is off by 4e-7 to 6e-7 of its value.
TEST(Sinusoid, FrequenciesAreThePublishedFloat32Ones) {
  struct Sine {
    std::size_t place;
    float value;
  };
  const Sine published[] = {{486, 0.000254829531F}, {504, 0.000133352078F}, {495, 0.000184342207F},
                            {479, 0.000327811984F}, {488, 0.000237137268F}, {497, 0.00017154371F}};
  const std::vector<double> actual =
      test::to_doubles(ops::sinusoid(Tensor::from_host(std::vector<double>{1.0}, {1}), 512, DType::f64));
  for (const Sine& sine : published) EXPECT_EQ(actual[sine.place], sine.value) << sine.place;
}

}  // namespace
}  // namespace tessera
