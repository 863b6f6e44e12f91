#include "compute/matmul.hpp"

#include <algorithm>
#include <atomic>
#include <string>

#include "compute/cost.hpp"
#include "compute/matmul_blas.hpp"
#include "compute/matmul_onednn.hpp"
#include "compute/parallel.hpp"

namespace tessera::compute {
namespace {

std::atomic<int> thread_count{1};

struct Extents {
  std::int64_t m, n, k;
};

[[noreturn]] void fail(const std::string& what) { throw Error("matrix product: " + what); }

std::string text_of(const Matrices& x) { return Shape{x.rows, x.columns}.to_string(); }

/// @throws Error when the matrices reach outside the tensor.
void check_operand(const Matrices& x, std::int64_t batch, const char* name) {
  if (x.tensor == nullptr || !x.tensor->defined()) fail(std::string(name) + " is undefined");
  if (!is_floating(x.tensor->dtype())) fail(std::string(name) + " has type " + name_of(x.tensor->dtype()));
  if (x.rows < 0 || x.columns < 0 || x.offset < 0 || x.batch_stride < 0 ||
      (x.rows > 1 && x.row_stride < x.columns)) {
    fail(std::string(name) + " " + text_of(x) + " has a row stride of " + std::to_string(x.row_stride));
  }
  if (batch == 0 || x.rows == 0 || x.columns == 0) return;
  const std::int64_t last = x.offset + (batch - 1) * x.batch_stride + (x.rows - 1) * x.row_stride + x.columns;
  if (last > x.tensor->numel()) {
    fail(std::string(name) + " reads up to element " + std::to_string(last) + " of " +
         x.tensor->shape().to_string());
  }
}

Extents check(const Matrices& a, Transpose transpose_a, const Matrices& b, Transpose transpose_b,
              const Matrices& c, std::int64_t batch, bool accumulate, const Tensor& bias) {
  if (batch < 0) fail("a batch of " + std::to_string(batch));
  check_operand(a, batch, "A");
  check_operand(b, batch, "B");
  check_operand(c, batch, "C");
  const bool ta = transpose_a == Transpose::yes;
  const bool tb = transpose_b == Transpose::yes;
  const Extents extents{ta ? a.columns : a.rows, tb ? b.rows : b.columns, ta ? a.rows : a.columns};
  if ((tb ? b.columns : b.rows) != extents.k || c.rows != extents.m || c.columns != extents.n) {
    fail(text_of(a) + (ta ? "^T " : " ") + text_of(b) + (tb ? "^T" : "") + " does not give " + text_of(c));
  }
  if (batch > 1 && c.batch_stride < (extents.m - 1) * c.row_stride + extents.n) {
    fail("the matrices of C overlap");
  }
  const DType in = a.tensor->dtype();
  const DType out = c.tensor->dtype();
  if (b.tensor->dtype() != in || (out != in && !(in == DType::bf16 && out == DType::f32))) {
    fail(std::string(name_of(in)) + " times " + name_of(b.tensor->dtype()) + " into " + name_of(out));
  }
  if (bias.defined()) {
    if (accumulate) fail("a bias cannot be added to an accumulated product");
    if (bias.numel() != extents.n || !is_floating(bias.dtype())) {
      fail("the bias " + bias.shape().to_string() + " of " + name_of(bias.dtype()) + " does not fit " +
           std::to_string(extents.n) + " columns");
    }
  }
  return extents;
}

/// to(b, i, j) = from(b, i, j), or += : rows of any stride, between floating types.
template <class From, class To>
void convert_rows(const From* from, std::int64_t from_row, std::int64_t from_batch, To* to,
                  std::int64_t to_row, std::int64_t to_batch, std::int64_t batch, std::int64_t rows,
                  std::int64_t columns, bool accumulate) {
  using A = arithmetic_t<To>;
  const auto row_count = static_cast<std::size_t>(rows);
  parallel_rows(
      batch * rows, KOKKOS_LAMBDA(std::size_t index) {
        const auto b = static_cast<std::int64_t>(index / row_count);
        const auto i = static_cast<std::int64_t>(index % row_count);
        const From* source = from + b * from_batch + i * from_row;
        To* target = to + b * to_batch + i * to_row;
        if (accumulate) {
          for (std::int64_t j = 0; j < columns; ++j) {
            target[j] =
                To(static_cast<A>(target[j]) + static_cast<A>(static_cast<arithmetic_t<From>>(source[j])));
          }
        } else {
          for (std::int64_t j = 0; j < columns; ++j) {
            target[j] = To(static_cast<A>(static_cast<arithmetic_t<From>>(source[j])));
          }
        }
      });
}

/// Every row of C becomes the bias, or zero without one.
void fill_rows(const Matrices& c, std::int64_t batch, const Tensor& bias) {
  Tensor row = bias;
  if (!row.defined()) row = Tensor::zeros({c.columns}, c.tensor->dtype());
  dispatch_floating(row.dtype(), [&]<class From>(From) {
    dispatch_floating(c.tensor->dtype(), [&]<class To>(To) {
      convert_rows(row.data<From>(), 0, 0, c.tensor->data<To>() + c.offset, c.row_stride, c.batch_stride,
                   batch, c.rows, c.columns, false);
    });
  });
}

/// A dense float32 copy of bfloat16 matrices.
Tensor widened(const Matrices& x, std::int64_t batch) {
  const std::int64_t matrices = x.batch_stride == 0 ? 1 : batch;
  Tensor copy = Tensor::empty({matrices, x.rows, x.columns}, DType::f32);
  convert_rows(x.tensor->data<bfloat16>() + x.offset, x.row_stride, x.batch_stride, copy.data<float>(),
               x.columns, x.rows * x.columns, matrices, x.rows, x.columns, false);
  return copy;
}

const void* address(const Matrices& x) {
  return static_cast<const char*>(x.tensor->raw()) +
         static_cast<std::size_t>(x.offset) * size_of(x.tensor->dtype());
}

Matrices dense(const Tensor& tensor, const Matrices& like) {
  return {
      &tensor, like.rows, like.columns, like.columns, like.batch_stride == 0 ? 0 : like.rows * like.columns,
      0};
}

template <class T>
void multiply_by_blas(const Matrices& a, bool ta, const Matrices& b, bool tb, const Matrices& c,
                      std::int64_t batch, const Extents& extents, bool accumulate, const Tensor& bias) {
  if (bias.defined()) fill_rows(c, batch, bias);
  // A single row may have any stride, but BLAS wants one that a longer matrix could have.
  const auto operand = [](const Matrices& x, bool transposed) {
    return blas::Operand<T>{x.tensor->data<T>() + x.offset, std::max(x.row_stride, x.columns), x.batch_stride,
                            transposed};
  };
  blas::multiply(batch, extents.m, extents.n, extents.k, operand(a, ta), operand(b, tb),
                 c.tensor->data<T>() + c.offset, std::max(c.row_stride, c.columns), c.batch_stride,
                 accumulate || bias.defined(), thread_count.load(std::memory_order_relaxed));
}

/// float32, and bfloat16 where the CPU multiplies it.
void multiply_short(const Matrices& a, bool ta, const Matrices& b, bool tb, const Matrices& c,
                    std::int64_t batch, const Extents& extents, bool accumulate, const Tensor& bias) {
  const DType in = a.tensor->dtype();
  Tensor usable = bias;
  if (bias.defined() && bias.dtype() != DType::f32 && bias.dtype() != in) {
    usable = Tensor::empty(bias.shape(), DType::f32);
    dispatch_floating(bias.dtype(), [&]<class From>(From) {
      convert_rows(bias.data<From>(), 0, 0, usable.data<float>(), 0, 0, 1, 1, extents.n, false);
    });
  }
  const onednn::Product product{.batch = batch,
                                .m = extents.m,
                                .n = extents.n,
                                .k = extents.k,
                                .a_row = a.row_stride,
                                .b_row = b.row_stride,
                                .c_row = c.row_stride,
                                .a_batch = batch > 1 ? a.batch_stride : 0,
                                .b_batch = batch > 1 ? b.batch_stride : 0,
                                .c_batch = batch > 1 ? c.batch_stride : 0,
                                .input_type = in,
                                .output_type = c.tensor->dtype(),
                                .bias_type = usable.defined() ? usable.dtype() : DType::f32,
                                .has_bias = usable.defined(),
                                .transpose_a = ta,
                                .transpose_b = tb,
                                .accumulate = accumulate,
                                .threads = 0};
  if (onednn::prefers_blas(product)) {
    multiply_by_blas<float>(a, ta, b, tb, c, batch, extents, accumulate, bias);
    return;
  }
  onednn::multiply(product, address(a), address(b), const_cast<void*>(address(c)),
                   usable.defined() ? usable.raw() : nullptr, thread_count.load(std::memory_order_relaxed));
}

/// bfloat16 operands on a CPU that cannot multiply them: the same rounding points, arithmetic in float32.
void multiply_widened(const Matrices& a, bool ta, const Matrices& b, bool tb, const Matrices& c,
                      std::int64_t batch, const Extents& extents, bool accumulate, const Tensor& bias) {
  const Tensor wide_a = widened(a, batch);
  const Tensor wide_b = widened(b, batch);
  if (c.tensor->dtype() == DType::f32) {
    multiply_short(dense(wide_a, a), ta, dense(wide_b, b), tb, c, batch, extents, accumulate, bias);
    return;
  }
  const Tensor wide_c = Tensor::empty({batch, extents.m, extents.n}, DType::f32);
  const Matrices product{&wide_c, extents.m, extents.n, extents.n, extents.m * extents.n, 0};
  multiply_short(dense(wide_a, a), ta, dense(wide_b, b), tb, product, batch, extents, false, bias);
  convert_rows(wide_c.data<float>(), extents.n, extents.m * extents.n, c.tensor->data<bfloat16>() + c.offset,
               c.row_stride, c.batch_stride, batch, extents.m, extents.n, accumulate);
}

}  // namespace

void matmul(const Matrices& a, Transpose transpose_a, const Matrices& b, Transpose transpose_b,
            const Matrices& c, std::int64_t batch, bool accumulate, const Tensor& bias) {
  const Extents extents = check(a, transpose_a, b, transpose_b, c, batch, accumulate, bias);
  add_matmul_flops(2.0 * static_cast<double>(batch) * static_cast<double>(extents.m) *
                   static_cast<double>(extents.n) * static_cast<double>(extents.k));
  if (c.tensor->is_meta() || a.tensor->is_meta() || b.tensor->is_meta()) return;
  if (batch == 0 || extents.m == 0 || extents.n == 0) return;
  expect_host_memory("the matrix product");
  if (extents.k == 0) {
    if (!accumulate) fill_rows(c, batch, bias);
    return;
  }
  const bool ta = transpose_a == Transpose::yes;
  const bool tb = transpose_b == Transpose::yes;
  const DType in = a.tensor->dtype();
  if (in == DType::f64) {
    multiply_by_blas<double>(a, ta, b, tb, c, batch, extents, accumulate, bias);
  } else if (in == DType::bf16 && !onednn::multiplies_bf16()) {
    multiply_widened(a, ta, b, tb, c, batch, extents, accumulate, bias);
  } else {
    multiply_short(a, ta, b, tb, c, batch, extents, accumulate, bias);
  }
}

Matrices as_matrix(const Tensor& tensor) {
  const Shape& shape = tensor.shape();
  if (shape.rank() == 0) return {&tensor, 1, 1, 1, 0, 0};
  std::int64_t rows = 1;
  for (std::size_t i = 0; i + 1 < shape.rank(); ++i) rows *= shape[static_cast<int>(i)];
  return {&tensor, rows, shape[-1], shape[-1], 0, 0};
}

void set_matmul_threads(int threads) {
  if (threads < 1) fail("asked to use " + std::to_string(threads) + " threads");
  thread_count.store(threads, std::memory_order_relaxed);
}

}  // namespace tessera::compute
