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
  const Tensor x = random_tensor({rows, stride}, type, 1, 3, 5), dy = random_tensor({rows, stride}, type, 2);
  const Tensor mean = Tensor::empty({rows}, statistics), rstd = Tensor::empty({rows}, statistics);
  row_statistics(shape, {&x, stride, width}, mean, rstd);

  const std::vector<double> xs = to_doubles(x), dys = to_doubles(dy);
  std::vector<double> expected_mean, expected_rstd, expected_dx;
  for (std::int64_t r = 0; r < rows; ++r) {
    const double* row = xs.data() + r * stride + width;
    const double* gradient = dys.data() + r * stride + 1;
    const double count = static_cast<double>(width);
    double m = 0, variance = 0, g = 0, gy = 0;
    for (std::int64_t i = 0; i < width; ++i) m += row[i] / count;
    for (std::int64_t i = 0; i < width; ++i) variance += (row[i] - m) * (row[i] - m) / count;
    const double inverse = 1 / std::sqrt(variance + 1e-6);
    for (std::int64_t i = 0; i < width; ++i) {
      g += gradient[i] / count;
      gy += gradient[i] * (row[i] - m) * inverse / count;
    }
    for (std::int64_t i = 0; i < width; ++i) {
      expected_dx.push_back(inverse * (gradient[i] - g - (row[i] - m) * inverse * gy));
    }
    expected_mean.push_back(m);
    expected_rstd.push_back(inverse);
  }
  test::expect_near(to_doubles(mean), expected_mean, 1e-6, "mean");
  test::expect_near(to_doubles(rstd), expected_rstd, 2e-5, "rstd");

  const Tensor dx = Tensor::zeros({rows, width}, type);
  row_norm_backward(shape, {&x, stride, width}, mean, rstd, {&dy, stride, 1}, {&dx, width, 0});
  test::expect_near(to_doubles(dx), expected_dx, tolerance, "dx");
  row_norm_backward(shape, {&x, stride, width}, mean, rstd, {&dy, stride, 1}, {&dy, stride, 1});
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
    check(5, width, DType::f32, 5e-5);
    check(5, width, DType::bf16, 1.5e-2);
  }
}

TEST(RowNorm, GroupsOfARowAreRowsOfTheirOwn) {
  const Tensor x = random_tensor({5, 40}, DType::f64, 1), dy = random_tensor({5, 40}, DType::f64, 2);
  const Tensor mean = Tensor::empty({5, 3}, DType::f64), rstd = Tensor::empty({5, 3}, DType::f64),
               dx = Tensor::zeros({5, 36}, DType::f64);
  const RowNormShape grouped{5, 12, 1e-6, 3};
  row_statistics(grouped, {&x, 40, 2}, mean, rstd);
  row_norm_backward(grouped, {&x, 40, 2}, mean, rstd, {&dy, 40, 1}, {&dx, 36, 0});
  for (std::int64_t group = 0; group < 3; ++group) {
    const Tensor one_mean = Tensor::empty({5}, DType::f64), one_rstd = Tensor::empty({5}, DType::f64),
                 one_dx = Tensor::zeros({5, 12}, DType::f64);
    row_statistics({5, 12, 1e-6}, {&x, 40, 2 + 12 * group}, one_mean, one_rstd);
    row_norm_backward({5, 12, 1e-6}, {&x, 40, 2 + 12 * group}, one_mean, one_rstd, {&dy, 40, 1 + 12 * group},
                      {&one_dx, 12, 0});
    for (std::int64_t row = 0; row < 5; ++row) {
      EXPECT_EQ(mean.data<double>()[row * 3 + group], one_mean.data<double>()[row]);
      EXPECT_EQ(rstd.data<double>()[row * 3 + group], one_rstd.data<double>()[row]);
      for (std::int64_t i = 0; i < 12; ++i) {
        EXPECT_EQ(dx.data<double>()[row * 36 + group * 12 + i], one_dx.data<double>()[row * 12 + i]);
      }
    }
  }
  EXPECT_THROW(row_statistics(grouped, {&x, 40, 2}, Tensor::empty({5}, DType::f64), rstd), Error);
}

TEST(RowNorm, ConstantRowsHaveNoDeviation) {
  const Tensor x = Tensor::empty({1, 64}, DType::f32);
  for (int i = 0; i < 64; ++i) x.data<float>()[i] = 7;
  const Tensor mean = Tensor::empty({1}, DType::f32), rstd = Tensor::empty({1}, DType::f32);
  row_statistics({1, 64, 1e-6}, {&x, 64, 0}, mean, rstd);
  EXPECT_EQ(mean.data<float>()[0], 7.0F);
  EXPECT_FLOAT_EQ(rstd.data<float>()[0], 1000.0F);
}

}  // namespace
}  // namespace tessera::compute
