// The float32 functions against the C library's in float64, over floats of every exponent.
#include "compute/math.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

namespace tessera {
namespace {

// Calls f(x) for floats spread evenly over all bit patterns but NaN; the stride is prime, so that mantissas
// vary.
template <class F>
void each_float(F f) {
  for (std::uint64_t u = 0; u < (1ULL << 32); u += 7919) {
    const auto bits = static_cast<std::uint32_t>(u);
    float x;
    std::memcpy(&x, &bits, sizeof(x));
    if (!std::isnan(x)) f(x);
  }
}

double cdf(double x) { return 0.5 * std::erfc(-x / std::sqrt(2.0)); }
double tanh_argument(double x) { return std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x); }
double gelu_erf(double x) { return x * cdf(x); }
double gelu_erf_slope(double x) { return cdf(x) + x * std::exp(-0.5 * x * x) / std::sqrt(2 * M_PI); }
double gelu_tanh(double x) { return 0.5 * x * (1 + std::tanh(tanh_argument(x))); }
double gelu_tanh_slope(double x) {
  const double h = std::tanh(tanh_argument(x));
  return 0.5 * (1 + h) + 0.5 * x * (1 - h * h) * std::sqrt(2 / M_PI) * (1 + 3 * 0.044715 * x * x);
}
double silu(double x) { return x / (1 + std::exp(-x)); }
double silu_slope(double x) {
  const double s = 1 / (1 + std::exp(-x));
  return s * (1 + x * (1 - s));
}

TEST(Math, ExpOverAllExponents) {
  each_float([](float x) {
    const double expected = std::exp(static_cast<double>(x));
    const float actual = math::exp(x);
    if (expected > std::numeric_limits<float>::max()) {
      ASSERT_TRUE(std::isinf(actual)) << x;
    } else if (expected < std::numeric_limits<float>::min()) {
      ASSERT_LE(actual, std::numeric_limits<float>::min()) << x;
      ASSERT_GE(actual, 0) << x;
    } else {
      ASSERT_LE(std::fabs(actual - expected), 1e-7 * expected) << x;
    }
  });
  EXPECT_EQ(math::exp(0.0F), 1.0F);
  EXPECT_EQ(math::exp(-std::numeric_limits<float>::infinity()), 0.0F);
  EXPECT_EQ(math::exp(std::numeric_limits<float>::infinity()), std::numeric_limits<float>::infinity());
}

TEST(Math, ExpAtTheEdgesOfItsRange) {
  for (float x = 88.0F; x < 88.7228F; x = std::nextafter(x, 100.0F)) {
    ASSERT_LE(std::fabs(math::exp(x) / std::exp(static_cast<double>(x)) - 1), 1e-7) << x;
  }
  for (float x = -86.5F; x > -87.3365F; x = std::nextafter(x, -100.0F)) {
    ASSERT_LE(std::fabs(math::exp(x) / std::exp(static_cast<double>(x)) - 1), 1e-7) << x;
  }
}

TEST(Math, SigmoidKeepsRelativeAccuracy) {
  each_float([](float x) {
    const double expected = 1 / (1 + std::exp(-static_cast<double>(x)));
    if (expected < 2e-38) return;
    ASSERT_LE(std::fabs(math::sigmoid(x) - expected), 2e-7 * expected) << x;
  });
}

TEST(Math, ActivationsAndTheirDerivatives) {
  struct Pair {
    const char* name;
    float (*fast)(float);
    double (*exact)(double);
  };
  const Pair pairs[] = {{"gelu_erf", math::gelu_erf<float>, gelu_erf},
                        {"gelu_erf'", math::gelu_erf_derivative<float>, gelu_erf_slope},
                        {"gelu_tanh", math::gelu_tanh<float>, gelu_tanh},
                        {"gelu_tanh'", math::gelu_tanh_derivative<float>, gelu_tanh_slope},
                        {"silu", math::silu<float>, silu},
                        {"silu'", math::silu_derivative<float>, silu_slope}};
  for (const Pair& pair : pairs) {
    SCOPED_TRACE(pair.name);
    each_float([&](float x) {
      if (std::fabs(x) > 1e6F) return;  // the references themselves overflow far out
      const double expected = pair.exact(x);
      ASSERT_LE(std::fabs(pair.fast(x) - expected), 2.5e-7 * std::max(1.0, std::fabs(static_cast<double>(x))))
          << x;
    });
    for (const float x : {1e10F, 1e30F, -1e10F, -1e30F}) EXPECT_FALSE(std::isnan(pair.fast(x))) << x;
  }
}

TEST(Math, NormalTailKeepsRelativeAccuracy) {
  for (float x = -10; x < 0; x += 0.001F) {
    ASSERT_LE(std::fabs(math::normal(x).cdf / cdf(x) - 1), 5e-6) << x;
  }
}

TEST(Math, NaNStaysNaN) {
  for (std::uint32_t bits = 0x7f800001U; bits < 0x80000000U; bits += 104729) {
    float x;
    std::memcpy(&x, &bits, sizeof(x));
    for (const float y :
         {math::exp(x), math::sigmoid(x), math::gelu_erf(x), math::gelu_erf_derivative(x), math::gelu_tanh(x),
          math::gelu_tanh_derivative(x), math::silu(x), math::silu_derivative(x)}) {
      ASSERT_TRUE(std::isnan(y)) << std::hex << bits;
    }
  }
}

TEST(Math, Float64IsTheCLibrary) {
  for (double x = -12; x < 12; x += 0.01) {
    EXPECT_DOUBLE_EQ(math::exp(x), std::exp(x));
    EXPECT_NEAR(math::gelu_erf(x), gelu_erf(x), 1e-14);
    EXPECT_NEAR(math::gelu_erf_derivative(x), gelu_erf_slope(x), 1e-14);
    EXPECT_NEAR(math::gelu_tanh(x), gelu_tanh(x), 1e-14);
    EXPECT_NEAR(math::gelu_tanh_derivative(x), gelu_tanh_slope(x), 1e-13);
    EXPECT_NEAR(math::silu(x), silu(x), 1e-14);
    EXPECT_NEAR(math::silu_derivative(x), silu_slope(x), 1e-14);
  }
}

}  // namespace
}  // namespace tessera
