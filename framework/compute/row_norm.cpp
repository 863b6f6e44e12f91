#include "compute/row_norm.hpp"

#include <type_traits>

#include "base/error.hpp"
#include "compute/math.hpp"
#include "compute/parallel.hpp"

namespace tessera::compute {
namespace {

template <class T>
T* at(const Rows& rows) {
  return rows.tensor->data<T>() + rows.offset;
}

// Many partial sums side by side, added up in a tree: a single sum would wait for the latency of every
// addition, and a simd reduction ends by adding its lanes one after the other.
template <class A, class F>
KOKKOS_INLINE_FUNCTION A row_sum(std::size_t width, const F& f) {
  constexpr std::size_t parts = 256 / sizeof(A);
  A part[parts] = {};
  std::size_t i = 0;
  for (; i + parts <= width; i += parts) {
#pragma omp simd
    for (std::size_t p = 0; p < parts; ++p) part[p] += f(i + p);
  }
  for (std::size_t p = 0; i + p < width; ++p) part[p] += f(i + p);
#ifndef __CUDACC__  // nvcc does not know it, and unrolls a loop of constant length by itself
#pragma GCC unroll 8
#endif
  for (std::size_t half = parts / 2; half > 0; half /= 2) {
#pragma omp simd
    for (std::size_t p = 0; p < half; ++p) part[p] += part[p + half];
  }
  return part[0];
}

// Through the bits, because g++ does not vectorise the assignment of a class.
template <class T>
KOKKOS_INLINE_FUNCTION void put(T& to, arithmetic_t<T> value) {
  if constexpr (std::is_same_v<T, bfloat16>) {
    to.bits = bfloat16(value).bits;
  } else {
    to = value;
  }
}

template <class T>
void statistics(const RowNormShape& shape, const Rows& rows, const Tensor& mean_out, const Tensor& rstd_out) {
  using A = arithmetic_t<T>;
  const T* x = at<T>(rows);
  A* means = mean_out.data<A>();
  A* rstds = rstd_out.data<A>();
  const std::size_t width = static_cast<std::size_t>(shape.width);
  const std::size_t groups = static_cast<std::size_t>(shape.groups);
  const std::size_t stride = static_cast<std::size_t>(rows.row_stride);
  const A eps = static_cast<A>(shape.eps);
  parallel_rows(
      shape.rows * shape.groups, KOKKOS_LAMBDA(std::size_t r) {
        const T* row = x + r / groups * stride + r % groups * width;
        const A mean =
            row_sum<A>(width, [=](std::size_t i) { return static_cast<A>(row[i]); }) / static_cast<A>(width);
        // Around the mean, in a second pass: the difference of two large sums would cancel.
        const A squares = row_sum<A>(width, [=](std::size_t i) {
          const A centred = static_cast<A>(row[i]) - mean;
          return centred * centred;
        });
        means[r] = mean;
        rstds[r] = A(1) / math::sqrt(squares / static_cast<A>(width) + eps);
      });
}

template <class T>
void backward(const RowNormShape& shape, const Rows& x_rows, const Tensor& mean_in, const Tensor& rstd_in,
              const Rows& dy_rows, const Rows& dx_rows) {
  using A = arithmetic_t<T>;
  const T* x = at<T>(x_rows);
  const T* dy = at<T>(dy_rows);
  T* dx = at<T>(dx_rows);
  const A* means = mean_in.data<A>();
  const A* rstds = rstd_in.data<A>();
  const std::size_t width = static_cast<std::size_t>(shape.width);
  const std::size_t groups = static_cast<std::size_t>(shape.groups);
  const std::size_t x_stride = static_cast<std::size_t>(x_rows.row_stride);
  const std::size_t dy_stride = static_cast<std::size_t>(dy_rows.row_stride);
  const std::size_t dx_stride = static_cast<std::size_t>(dx_rows.row_stride);
  parallel_rows(
      shape.rows * shape.groups, KOKKOS_LAMBDA(std::size_t r) {
        const std::size_t begin = r % groups * width;
        const T* row = x + r / groups * x_stride + begin;
        const T* gradient = dy + r / groups * dy_stride + begin;
        T* to = dx + r / groups * dx_stride + begin;
        const A mean = means[r];
        const A rstd = rstds[r];
        const A mean_gradient =
            row_sum<A>(width, [=](std::size_t i) { return static_cast<A>(gradient[i]); }) /
            static_cast<A>(width);
        const A mean_product =
            row_sum<A>(width,
                       [=](std::size_t i) {
                         return static_cast<A>(gradient[i]) * (static_cast<A>(row[i]) - mean);
                       }) *
            rstd / static_cast<A>(width);
    // dx may be dy, element for element: each iteration reads before it writes.
#pragma omp simd
        for (std::size_t i = 0; i < width; ++i) {
          const A y = (static_cast<A>(row[i]) - mean) * rstd;
          put(to[i], rstd * (static_cast<A>(gradient[i]) - mean_gradient - y * mean_product));
        }
      });
}

void expect_statistics(const RowNormShape& shape, const Tensor& values) {
  if (values.numel() != shape.rows * shape.groups) {
    throw Error("row statistics of shape " + values.shape().to_string() + " do not fit " +
                std::to_string(shape.rows) + " rows of " + std::to_string(shape.groups) + " groups");
  }
}

}  // namespace

void row_statistics(const RowNormShape& shape, const Rows& x, const Tensor& mean, const Tensor& rstd) {
  expect_statistics(shape, mean);
  expect_statistics(shape, rstd);
  dispatch_floating(x.tensor->dtype(), [&]<class T>(T) { statistics<T>(shape, x, mean, rstd); });
}

void row_norm_backward(const RowNormShape& shape, const Rows& x, const Tensor& mean, const Tensor& rstd,
                       const Rows& y_gradient, const Rows& x_gradient) {
  expect_statistics(shape, mean);
  expect_statistics(shape, rstd);
  dispatch_floating(x.tensor->dtype(),
                    [&]<class T>(T) { backward<T>(shape, x, mean, rstd, y_gradient, x_gradient); });
}

}  // namespace tessera::compute
