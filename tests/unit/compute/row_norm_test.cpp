// Row norms against plain loops in float64, on strided rows and in place.
#include "compute/row_norm.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "unit/ops/gradient_check.hpp"

namespace tessera::compute {
namespace {

using test::random_tensor;
using test::to_doubles;

void check(std::int64_t rows, std::int64_t width, DType type, double tolerance) {
  const RowNormShape shape{rows, width, 1e-6};
  const std::int64_t stride = 3 * width + 1;
  const DType statistics = type == DType::f64 ? DType::f64 : DType::f32;
  // An offset far from zero: a variance taken as the mean of squares would lose it in float32.
  const Tensor x = random_tensor({rows, stride}, type, 1, 3, 5);
  const Tensor y = Tensor::zeros({rows, width}, type), again = Tensor::zeros({rows, width}, type);
  const Tensor mean = Tensor::empty({rows}, statistics), rstd = Tensor::empty({rows}, statistics);
  const Rows x_rows{&x, stride, width}, y_rows{&y, width, 0};
  row_norm_forward(shape, x_rows, y_rows, mean, rstd);
  row_norm_apply(shape, x_rows, mean, rstd, {&again, width, 0});
  EXPECT_EQ(to_doubles(y), to_doubles(again));

  const Tensor dy = random_tensor({rows, stride}, type, 2);
  const std::vector<double> xs = to_doubles(x), ys = to_doubles(y), dys = to_doubles(dy);
  std::vector<double> expected_y, expected_mean, expected_rstd, expected_dx;
  for (std::int64_t r = 0; r < rows; ++r) {
    const double* row = xs.data() + r * stride + width;
    double m = 0, variance = 0, g = 0, gy = 0;
    for (std::int64_t i = 0; i < width; ++i) m += row[i] / static_cast<double>(width);
    for (std::int64_t i = 0; i < width; ++i)
      variance += (row[i] - m) * (row[i] - m) / static_cast<double>(width);
    const double inverse = 1 / std::sqrt(variance + 1e-6);
    for (std::int64_t i = 0; i < width; ++i) {
      expected_y.push_back((row[i] - m) * inverse);
      g += dys[static_cast<std::size_t>(r * stride + 1 + i)] / static_cast<double>(width);
      gy +=
          dys[static_cast<std::size_t>(r * stride + 1 + i)] * expected_y.back() / static_cast<double>(width);
    }
    for (std::int64_t i = 0; i < width; ++i) {
      const double value = expected_y[static_cast<std::size_t>(r * width + i)];
      expected_dx.push_back(inverse * (dys[static_cast<std::size_t>(r * stride + 1 + i)] - g - value * gy));
    }
    expected_mean.push_back(m);
    expected_rstd.push_back(inverse);
  }
  test::expect_near(ys, expected_y, tolerance, "y");
  test::expect_near(to_doubles(mean), expected_mean, tolerance, "mean");
  test::expect_near(to_doubles(rstd), expected_rstd, tolerance, "rstd");

  const Tensor dx = Tensor::zeros({rows, width}, type);
  row_norm_backward(shape, y_rows, rstd, {&dy, stride, 1}, {&dx, width, 0});
  test::expect_near(to_doubles(dx), expected_dx, 4 * tolerance, "dx");
  row_norm_backward(shape, y_rows, rstd, {&dy, stride, 1}, {&dy, stride, 1});
  const std::vector<double> in_place = to_doubles(dy), apart = to_doubles(dx);
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t i = 0; i < width; ++i) {
      ASSERT_EQ(in_place[static_cast<std::size_t>(r * stride + 1 + i)],
                apart[static_cast<std::size_t>(r * width + i)]);
    }
    ASSERT_EQ(in_place[static_cast<std::size_t>(r * stride)], dys[static_cast<std::size_t>(r * stride)]);
  }
}

TEST(RowNorm, MatchesPlainLoops) {
  for (const std::int64_t width : {1, 2, 7, 32, 100, 512, 1152, 2000}) {
    check(5, width, DType::f64, 1e-11);
    check(5, width, DType::f32, 2e-5);
    check(5, width, DType::bf16, 1.5e-2);
  }
}

TEST(RowNorm, ConstantRowsGiveZero) {
  Tensor x = Tensor::zeros({1, 64}, DType::f32);
  for (int i = 0; i < 64; ++i) x.data<float>()[i] = 7;
  const Tensor mean = Tensor::empty({1}, DType::f32), rstd = Tensor::empty({1}, DType::f32);
  row_norm_forward({1, 64, 1e-6}, {&x, 64, 0}, {&x, 64, 0}, mean, rstd);
  for (const double value : to_doubles(x)) EXPECT_EQ(value, 0);
  EXPECT_FLOAT_EQ(rstd.data<float>()[0], 1000.0F);
}

}  // namespace
}  // namespace tessera::compute
