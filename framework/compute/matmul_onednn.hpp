#pragma once
// Invariant: after the first call with some shape, a product costs one hash look-up and oneDNN's execute:
// primitives and scratch memory are kept per thread.
//
// While oneDNN's general driver ("gemm:jit") runs, the stack pointer lies at the start of a buffer in the
// heap. To call a signal's handler the system saves registers below it: some 3 KiB over whatever lies before
// that buffer. A thread that multiplies must keep signals that have handlers blocked, or the handlers need a
// stack of their own (SA_ONSTACK).

#include <cstdint>

#include "tensor/dtype.hpp"

namespace tessera::compute::onednn {

/// Everything that selects a primitive. Strides are in elements; a batch stride of 0 shares the matrix. The
/// fields fill the struct without gaps, because it is compared and hashed as bytes.
struct Product {
  std::int64_t batch;
  std::int64_t m, n, k;
  std::int64_t a_row, b_row, c_row;        ///< distance of stored rows
  std::int64_t a_batch, b_batch, c_batch;  ///< distance of matrices
  DType input_type;                        ///< f32, or bf16 where multiplies_bf16()
  DType output_type;                       ///< f32, or bf16 for bf16 inputs
  DType bias_type;
  bool has_bias;
  bool transpose_a, transpose_b;
  bool accumulate;
  std::uint8_t threads;  ///< set by multiply
};
static_assert(sizeof(Product) == 11 * sizeof(std::int64_t));

/// Whether the CPU has bfloat16 dot products that oneDNN uses.
[[nodiscard]] bool multiplies_bf16();

/// Whether OpenBLAS serves this product better. Without AVX-512 oneDNN has only its general driver, which
/// loses up to half its speed on float32 matrices whose width is a power of two, unless B is transposed.
[[nodiscard]] bool prefers_blas(const Product& product);

/// c = op(a) op(b) (+ bias), or c += op(a) op(b). All extents are at least 1.
/// @throws Error when oneDNN has no implementation.
void multiply(Product product, const void* a, const void* b, void* c, const void* bias, int threads);

/// The implementation oneDNN chose ("brg:avx512_core"): for benchmarks and tests.
[[nodiscard]] const char* implementation_of(Product product, int threads);

}  // namespace tessera::compute::onednn
