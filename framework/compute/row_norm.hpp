#pragma once
// Invariant: statistics and arithmetic are at least float32 (float64 for float64 rows) whatever the storage,
// and a row is read in full before any of it is written, so results may replace their source.

#include <cstdint>

#include "tensor/tensor.hpp"

namespace tessera::compute {

/// Rows inside a tensor's memory: row r is the elements data + offset + r*row_stride + [0, width).
struct Rows {
  const Tensor* tensor = nullptr;
  std::int64_t row_stride = 0;
  std::int64_t offset = 0;
};

struct RowNormShape {
  std::int64_t rows = 0;
  std::int64_t width = 0;
  double eps = 1e-6;
  /// Stretches of `width` elements side by side in a row, each normalised by itself.
  std::int64_t groups = 1;
};

/// Of each group of each row, for LayerNorm without parameters, y = (x - mean) rstd: the mean, and rstd =
/// 1/sqrt(variance + eps) with the biased variance; [rows, groups], float32 (float64 for float64 rows).
void row_statistics(const RowNormShape& shape, const Rows& x, const Tensor& mean, const Tensor& rstd);

/// dx = rstd (dy - mean(dy) - y mean(dy y)), overwritten; dx may be dy's memory.
void row_norm_backward(const RowNormShape& shape, const Rows& x, const Tensor& mean, const Tensor& rstd,
                       const Rows& y_gradient, const Rows& x_gradient);

}  // namespace tessera::compute
