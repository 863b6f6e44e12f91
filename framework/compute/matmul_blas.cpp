#include "compute/matmul_blas.hpp"

#include <cblas.h>

#include <atomic>

namespace tessera::compute::blas {

void multiply(std::int64_t batch, std::int64_t m, std::int64_t n, std::int64_t k, const Operand& a,
              const Operand& b, double* c, std::int64_t c_row, std::int64_t c_batch, bool accumulate,
              int threads) {
  static std::atomic<int> current{0};  // the setting belongs to the process
  if (current.exchange(threads) != threads) openblas_set_num_threads(threads);
  const auto size = [](std::int64_t value) { return static_cast<blasint>(value); };
  for (std::int64_t i = 0; i < batch; ++i) {
    cblas_dgemm(CblasRowMajor, a.transposed ? CblasTrans : CblasNoTrans,
                b.transposed ? CblasTrans : CblasNoTrans, size(m), size(n), size(k), 1.0,
                a.data + i * a.batch_stride, size(a.row_stride), b.data + i * b.batch_stride,
                size(b.row_stride), accumulate ? 1.0 : 0.0, c + i * c_batch, size(c_row));
  }
}

}  // namespace tessera::compute::blas
