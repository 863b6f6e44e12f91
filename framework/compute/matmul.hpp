#pragma once
// Invariant: one face for every dense matrix product; operands are row-major with an explicit row stride,
// products accumulate in at least float32, and float64 stays float64 throughout.

#include <cstdint>

#include "tensor/tensor.hpp"

namespace tessera::compute {

/// A batch of row-major matrices inside a tensor's memory. Element (i, j) of matrix b lies at
/// data + offset + b*batch_stride + i*row_stride + j, counted in elements.
struct Matrices {
  const Tensor* tensor = nullptr;
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  std::int64_t row_stride = 0;
  std::int64_t batch_stride = 0;
  std::int64_t offset = 0;
};

enum class Transpose : bool { no, yes };

/// C[b] = op(A[b]) op(B[b]) + bias, or C[b] += op(A[b]) op(B[b]) when `accumulate`.
/// op(A) is [M, K], op(B) [K, N], C [M, N]; `bias`, [N], of any floating type, may be undefined.
/// A and B have one floating type; C has that type or a longer one (bfloat16 products into float32).
/// A batch stride of 0 in A or B shares the matrix. Adds 2*batch*M*N*K to the current cost.
/// @throws Error when shapes or types do not fit.
void matmul(const Matrices& a, Transpose transpose_a, const Matrices& b, Transpose transpose_b,
            const Matrices& c, std::int64_t batch, bool accumulate, const Tensor& bias = {});

/// The whole tensor as one matrix: all extents but the last are rows.
[[nodiscard]] Matrices as_matrix(const Tensor& tensor);

/// How many threads a matrix product may use on this rank (host only).
void set_matmul_threads(int threads);

}  // namespace tessera::compute
