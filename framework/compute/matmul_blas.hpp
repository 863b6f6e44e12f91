#pragma once
// Invariant: float64 products are computed in float64 throughout; they serve gradient checks and toy runs.

#include <cstdint>

namespace tessera::compute::blas {

/// A batch of row-major float64 matrices; strides in elements.
struct Operand {
  const double* data;
  std::int64_t row_stride;
  std::int64_t batch_stride;
  bool transposed;
};

/// c[b] = op(a[b]) op(b[b]), plus what c held when `accumulate`. All extents are at least 1.
void multiply(std::int64_t batch, std::int64_t m, std::int64_t n, std::int64_t k, const Operand& a,
              const Operand& b, double* c, std::int64_t c_row, std::int64_t c_batch, bool accumulate,
              int threads);

}  // namespace tessera::compute::blas
