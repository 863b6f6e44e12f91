#pragma once
// Invariant: a row is read from memory once; its later passes hit the cache. Parts of a row are summed side
// by side, because a single sum would wait for the latency of every addition.

#include "compute/math.hpp"
#include "compute/parallel.hpp"
#include "ops/dispatch.hpp"
#include "ops/modulation.hpp"

namespace tessera::ops {

/// What follows the normalisation: y = xhat * factor + offset, each [width] per image.
template <class A>
struct Affine {
  const A* factor;
  const A* offset;
  std::size_t factor_stride;  ///< from one image's factors to the next; 0 when all images share them
  std::size_t offset_stride;
};

/// Sum of f(i) for i in [0, width).
template <class A, class F>
KOKKOS_INLINE_FUNCTION A row_sum(std::size_t width, const F& f) {
  const std::size_t quarter = width / 4;
  A a = 0;
  A b = 0;
  A c = 0;
  A d = 0;
#pragma omp simd reduction(+ : a, b, c, d)
  for (std::size_t i = 0; i < quarter; ++i) {
    a += f(i);
    b += f(quarter + i);
    c += f(2 * quarter + i);
    d += f(3 * quarter + i);
  }
  for (std::size_t i = 4 * quarter; i < width; ++i) a += f(i);
  return (a + b) + (c + d);
}

/// statistics [rows, 2] receives the mean and the inverse deviation of every row; with `known` it holds them.
template <bool known, class X, class Y, class A>
void norm_forward(const TokenGrid& grid, const Affine<A>& affine, A eps, const X* x, Y* y, A* statistics) {
  const std::size_t width = grid.width;
  const std::size_t tokens = grid.tokens;
  const Affine<A> f = affine;
  parallel_rows(
      grid.rows(), KOKKOS_LAMBDA(std::size_t row) {
        const X* xr = x + row * width;
        Y* yr = y + row * width;
        const A* factor = f.factor + row / tokens * f.factor_stride;
        const A* offset = f.offset + row / tokens * f.offset_stride;
        if constexpr (!known) {
          const A average =
              row_sum<A>(width, [=](std::size_t i) { return static_cast<A>(xr[i]); }) / static_cast<A>(width);
          // Around the mean, in a second pass: the difference of two large sums would cancel.
          const A squares = row_sum<A>(width, [=](std::size_t i) {
            const A centred = static_cast<A>(xr[i]) - average;
            return centred * centred;
          });
          statistics[2 * row] = average;
          statistics[2 * row + 1] = A(1) / math::sqrt(squares / static_cast<A>(width) + eps);
        }
        const A mean = statistics[2 * row];
        const A inverse = statistics[2 * row + 1];
#pragma omp simd
        for (std::size_t i = 0; i < width; ++i) {
          put<false>(yr[i], (static_cast<A>(xr[i]) - mean) * inverse * factor[i] + offset[i]);
        }
      });
}

/// With h = dy * factor: dx = inverse * (h - mean(h) - xhat * mean(h * xhat)). With `sums`, also per chunk of
/// tokens products[chunk, c] = sum of dy * xhat and totals[chunk, c] = sum of dy.
template <bool add, bool sums, class X, class Y, class A>
void norm_backward(const TokenGrid& grid, const Affine<A>& affine, const X* x, const A* statistics,
                   const Y* dy, X* dx, A* products, A* totals) {
  const TokenGrid g = grid;
  const Affine<A> f = affine;
  parallel_rows(
      g.chunks(), KOKKOS_LAMBDA(std::size_t index) {
        const std::size_t width = g.width;
        const TokenGrid::Chunk chunk = g.chunk(index);
        const A* factor = f.factor + chunk.image * f.factor_stride;
        A* product = products + (sums ? index * width : 0);
        A* total = totals + (sums ? index * width : 0);
        if constexpr (sums) {
          for (std::size_t i = 0; i < width; ++i) product[i] = total[i] = 0;
        }
        for (std::size_t row = chunk.first_row; row < chunk.end_row; ++row) {
          const X* xr = x + row * width;
          const Y* dr = dy + row * width;
          X* to = dx + row * width;
          const A mean = statistics[2 * row];
          const A inverse = statistics[2 * row + 1];
          A sum = 0;
          A dot = 0;
#pragma omp simd reduction(+ : sum, dot)
          for (std::size_t i = 0; i < width; ++i) {
            const A h = static_cast<A>(dr[i]) * factor[i];
            sum += h;
            dot += h * (static_cast<A>(xr[i]) - mean);
          }
          const A mean_h = sum / static_cast<A>(width);
          const A slope = dot * inverse / static_cast<A>(width);
#pragma omp simd
          for (std::size_t i = 0; i < width; ++i) {
            const A d = static_cast<A>(dr[i]);
            const A hat = (static_cast<A>(xr[i]) - mean) * inverse;
            put<add>(to[i], inverse * (d * factor[i] - mean_h - hat * slope));
            if constexpr (sums) {
              product[i] += d * hat;
              total[i] += d;
            }
          }
        }
      });
}

}  // namespace tessera::ops
