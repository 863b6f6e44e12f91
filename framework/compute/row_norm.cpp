#include "compute/row_norm.hpp"

#include <cmath>

#include "base/error.hpp"
#include "compute/parallel.hpp"

namespace tessera::compute {
namespace {

template <class T>
T* at(const Rows& rows) {
  return rows.tensor->data<T>() + rows.offset;
}

// The row loops carry an explicit simd reduction: without it the order of a floating sum forbids vectors.
template <class T, class A>
KOKKOS_INLINE_FUNCTION A row_mean(const T* x, std::size_t width) {
  A sum = 0;
#pragma omp simd reduction(+ : sum)
  for (std::size_t i = 0; i < width; ++i) sum += static_cast<A>(x[i]);
  return sum / static_cast<A>(width);
}

template <class T, class A>
KOKKOS_INLINE_FUNCTION A row_variance(const T* x, std::size_t width, A mean) {
  A sum = 0;
#pragma omp simd reduction(+ : sum)
  for (std::size_t i = 0; i < width; ++i) {
    const A d = static_cast<A>(x[i]) - mean;
    sum += d * d;
  }
  return sum / static_cast<A>(width);
}

template <class T>
void forward(const RowNormShape& shape, const Rows& x_rows, const Rows& y_rows, const Tensor& mean_out,
             const Tensor& rstd_out) {
  using A = arithmetic_t<T>;
  const T* x = at<T>(x_rows);
  T* y = at<T>(y_rows);
  A* means = mean_out.data<A>();
  A* rstds = rstd_out.data<A>();
  const std::size_t width = static_cast<std::size_t>(shape.width);
  const std::size_t x_stride = static_cast<std::size_t>(x_rows.row_stride);
  const std::size_t y_stride = static_cast<std::size_t>(y_rows.row_stride);
  const A eps = static_cast<A>(shape.eps);
  parallel_rows(
      shape.rows, KOKKOS_LAMBDA(std::size_t r) {
        const T* from = x + r * x_stride;
        T* to = y + r * y_stride;
        const A mean = row_mean<T, A>(from, width);
        const A rstd = A(1) / ::sqrt(row_variance<T, A>(from, width, mean) + eps);
        means[r] = mean;
        rstds[r] = rstd;
        for (std::size_t i = 0; i < width; ++i) to[i] = T((static_cast<A>(from[i]) - mean) * rstd);
      });
}

template <class T>
void apply(const RowNormShape& shape, const Rows& x_rows, const Tensor& mean_in, const Tensor& rstd_in,
           const Rows& y_rows) {
  using A = arithmetic_t<T>;
  const T* x = at<T>(x_rows);
  T* y = at<T>(y_rows);
  const A* means = mean_in.data<A>();
  const A* rstds = rstd_in.data<A>();
  const std::size_t width = static_cast<std::size_t>(shape.width);
  const std::size_t x_stride = static_cast<std::size_t>(x_rows.row_stride);
  const std::size_t y_stride = static_cast<std::size_t>(y_rows.row_stride);
  parallel_rows(
      shape.rows, KOKKOS_LAMBDA(std::size_t r) {
        const T* from = x + r * x_stride;
        T* to = y + r * y_stride;
        const A mean = means[r];
        const A rstd = rstds[r];
        for (std::size_t i = 0; i < width; ++i) to[i] = T((static_cast<A>(from[i]) - mean) * rstd);
      });
}

template <class T>
void backward(const RowNormShape& shape, const Rows& y_rows, const Tensor& rstd_in, const Rows& dy_rows,
              const Rows& dx_rows) {
  using A = arithmetic_t<T>;
  const T* y = at<T>(y_rows);
  const T* dy = at<T>(dy_rows);
  T* dx = at<T>(dx_rows);
  const A* rstds = rstd_in.data<A>();
  const std::size_t width = static_cast<std::size_t>(shape.width);
  const std::size_t y_stride = static_cast<std::size_t>(y_rows.row_stride);
  const std::size_t dy_stride = static_cast<std::size_t>(dy_rows.row_stride);
  const std::size_t dx_stride = static_cast<std::size_t>(dx_rows.row_stride);
  parallel_rows(
      shape.rows, KOKKOS_LAMBDA(std::size_t r) {
        const T* value = y + r * y_stride;
        const T* gradient = dy + r * dy_stride;
        T* to = dx + r * dx_stride;
        A sum = 0;
        A product = 0;
#pragma omp simd reduction(+ : sum, product)
        for (std::size_t i = 0; i < width; ++i) {
          const A g = static_cast<A>(gradient[i]);
          sum += g;
          product += g * static_cast<A>(value[i]);
        }
        const A mean_gradient = sum / static_cast<A>(width);
        const A mean_product = product / static_cast<A>(width);
        const A rstd = rstds[r];
    // dx may be dy, element for element: each iteration reads before it writes.
#pragma omp simd
        for (std::size_t i = 0; i < width; ++i) {
          to[i] = T(rstd *
                    (static_cast<A>(gradient[i]) - mean_gradient - static_cast<A>(value[i]) * mean_product));
        }
      });
}

void expect_statistics(const RowNormShape& shape, const Tensor& statistics) {
  if (statistics.numel() != shape.rows) {
    throw Error("row statistics of shape " + statistics.shape().to_string() + " do not fit " +
                std::to_string(shape.rows) + " rows");
  }
}

}  // namespace

void row_norm_forward(const RowNormShape& shape, const Rows& x, const Rows& y, const Tensor& mean,
                      const Tensor& rstd) {
  expect_statistics(shape, mean);
  expect_statistics(shape, rstd);
  dispatch_floating(x.tensor->dtype(), [&]<class T>(T) { forward<T>(shape, x, y, mean, rstd); });
}

void row_norm_apply(const RowNormShape& shape, const Rows& x, const Tensor& mean, const Tensor& rstd,
                    const Rows& y) {
  expect_statistics(shape, mean);
  expect_statistics(shape, rstd);
  dispatch_floating(x.tensor->dtype(), [&]<class T>(T) { apply<T>(shape, x, mean, rstd, y); });
}

void row_norm_backward(const RowNormShape& shape, const Rows& y, const Tensor& rstd, const Rows& y_gradient,
                       const Rows& x_gradient) {
  expect_statistics(shape, rstd);
  dispatch_floating(y.tensor->dtype(),
                    [&]<class T>(T) { backward<T>(shape, y, rstd, y_gradient, x_gradient); });
}

}  // namespace tessera::compute
