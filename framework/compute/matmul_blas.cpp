#include "compute/matmul_blas.hpp"

#include <cblas.h>

#include <atomic>
#include <type_traits>

namespace tessera::compute::blas {

template <class T>
void multiply(std::int64_t batch, std::int64_t m, std::int64_t n, std::int64_t k, const Operand<T>& a,
              const Operand<T>& b, T* c, std::int64_t c_row, std::int64_t c_batch, bool accumulate,
              int threads) {
  static std::atomic<int> current{0};  // OpenBLAS's setting belongs to the process
  if (current.exchange(threads) != threads) openblas_set_num_threads(threads);
  const auto size = [](std::int64_t value) { return static_cast<blasint>(value); };
  constexpr auto product = [] {
    if constexpr (std::is_same_v<T, double>) {
      return cblas_dgemm;
    } else {
      return cblas_sgemm;
    }
  }();
  for (std::int64_t i = 0; i < batch; ++i) {
    product(CblasRowMajor, a.transposed ? CblasTrans : CblasNoTrans, b.transposed ? CblasTrans : CblasNoTrans,
            size(m), size(n), size(k), T(1), a.data + i * a.batch_stride, size(a.row_stride),
            b.data + i * b.batch_stride, size(b.row_stride), accumulate ? T(1) : T(0), c + i * c_batch,
            size(c_row));
  }
}

template void multiply(std::int64_t, std::int64_t, std::int64_t, std::int64_t, const Operand<float>&,
                       const Operand<float>&, float*, std::int64_t, std::int64_t, bool, int);
template void multiply(std::int64_t, std::int64_t, std::int64_t, std::int64_t, const Operand<double>&,
                       const Operand<double>&, double*, std::int64_t, std::int64_t, bool, int);

}  // namespace tessera::compute::blas
