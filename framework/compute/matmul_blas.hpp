#pragma once
// Invariant: products are computed in their own type throughout. Float64 serves gradient checks and toy runs;
// float32 comes here where oneDNN is slower.

#include <cstdint>

namespace tessera::compute::blas {

/// A batch of row-major matrices; strides in elements.
template <class T>
struct Operand {
  const T* data;
  std::int64_t row_stride;
  std::int64_t batch_stride;
  bool transposed;
};

/// c[b] = op(a[b]) op(b[b]), plus what c held when `accumulate`. All extents are at least 1. T is float or
/// double.
template <class T>
void multiply(std::int64_t batch, std::int64_t m, std::int64_t n, std::int64_t k, const Operand<T>& a,
              const Operand<T>& b, T* c, std::int64_t c_row, std::int64_t c_batch, bool accumulate,
              int threads);

}  // namespace tessera::compute::blas
