// The matrix product against plain float64 loops, in every combination of types, transposes, strides,
// batches, accumulation and bias that the model uses.
#include "compute/matmul.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

#include "compute/cost.hpp"
#include "compute/matmul_onednn.hpp"
#include "unit/ops/gradient_check.hpp"

namespace tessera {
namespace {

using compute::Matrices;
using compute::Transpose;
using test::random_tensor;
using test::to_doubles;

struct Case {
  std::int64_t batch, m, n, k;
  bool transpose_a = false;
  bool transpose_b = false;
  bool accumulate = false;
  bool bias = false;
  std::int64_t padding = 0;  ///< columns between the end of a row and the next row
  bool share_b = false;
  bool share_a = false;
};

std::string describe(const Case& c, DType in, DType out) {
  return std::to_string(c.batch) + "x" + Shape{c.m, c.n, c.k}.to_string() + (c.transpose_a ? " T" : " N") +
         (c.transpose_b ? "T" : "N") + (c.accumulate ? " accumulate" : "") + (c.bias ? " bias" : "") +
         " padding " + std::to_string(c.padding) + (c.share_a ? " shared A" : "") +
         (c.share_b ? " shared B" : "") + " " + name_of(in) + " -> " + name_of(out);
}

/// Tensor memory for `batch` matrices with padded rows and three leading elements that belong to nobody.
struct Stored {
  Tensor tensor;
  Matrices matrices;
  std::vector<double> values;

  Stored(std::int64_t batch, std::int64_t rows, std::int64_t columns, std::int64_t padding, bool shared,
         DType type, std::uint32_t seed) {
    const std::int64_t stride = columns + padding;
    const std::int64_t offset = padding > 0 ? 3 : 0;
    const std::int64_t count = (shared ? 1 : batch) * rows * stride + offset;
    tensor = random_tensor({count}, type, seed);
    values = to_doubles(tensor);
    matrices = {&tensor, rows, columns, stride, shared ? 0 : rows * stride, offset};
  }
  [[nodiscard]] std::size_t index(std::int64_t b, std::int64_t i, std::int64_t j) const {
    return static_cast<std::size_t>(matrices.offset + b * matrices.batch_stride + i * matrices.row_stride +
                                    j);
  }
};

void run(const Case& c, DType in, DType out, DType bias_type) {
  SCOPED_TRACE(describe(c, in, out));
  const Stored a(c.batch, c.transpose_a ? c.k : c.m, c.transpose_a ? c.m : c.k, c.padding, c.share_a, in, 1);
  const Stored b(c.batch, c.transpose_b ? c.n : c.k, c.transpose_b ? c.k : c.n, c.padding, c.share_b, in, 2);
  const Stored result(c.batch, c.m, c.n, c.padding, false, out, 3);
  const Tensor bias = c.bias ? random_tensor({c.n}, bias_type, 4) : Tensor();
  const std::vector<double> bias_values = c.bias ? to_doubles(bias) : std::vector<double>();

  std::vector<double> expected = result.values;  // what lies between the matrices must stay as it was
  for (std::int64_t g = 0; g < c.batch; ++g) {
    for (std::int64_t i = 0; i < c.m; ++i) {
      for (std::int64_t j = 0; j < c.n; ++j) {
        double sum = c.accumulate ? result.values[result.index(g, i, j)] : 0;
        if (c.bias) sum += bias_values[static_cast<std::size_t>(j)];
        for (std::int64_t l = 0; l < c.k; ++l) {
          sum += a.values[c.transpose_a ? a.index(g, l, i) : a.index(g, i, l)] *
                 b.values[c.transpose_b ? b.index(g, j, l) : b.index(g, l, j)];
        }
        expected[result.index(g, i, j)] = sum;
      }
    }
  }
  compute::CostScope cost;
  compute::matmul(a.matrices, Transpose{c.transpose_a}, b.matrices, Transpose{c.transpose_b}, result.matrices,
                  c.batch, c.accumulate, bias);
  EXPECT_EQ(cost.cost().matmul_flops, 2.0 * static_cast<double>(c.batch * c.m * c.n * c.k));
  const double tolerance = out == DType::f64 ? 1e-14 : out == DType::f32 ? 3e-7 : 4e-3;
  test::expect_near(to_doubles(result.tensor), expected, tolerance * 4);
}

void run_all_types(const Case& c) {
  run(c, DType::f64, DType::f64, DType::f64);
  run(c, DType::f64, DType::f64, DType::f32);
  run(c, DType::f32, DType::f32, DType::f32);
  run(c, DType::f32, DType::f32, DType::bf16);
  run(c, DType::bf16, DType::bf16, DType::f32);
  run(c, DType::bf16, DType::bf16, DType::bf16);
  run(c, DType::bf16, DType::f32, DType::f32);
  run(c, DType::bf16, DType::f32, DType::f64);
}

TEST(Matmul, EveryCombination) {
  const std::vector<Case> shapes = {{1, 5, 7, 9},  {1, 64, 48, 32}, {3, 4, 6, 8}, {1, 1, 20, 12},
                                    {2, 17, 1, 5}, {1, 6, 10, 1},   {1, 1, 1, 1}, {4, 33, 17, 29}};
  for (Case c : shapes) {
    for (const bool ta : {false, true}) {
      for (const bool tb : {false, true}) {
        for (const std::int64_t padding : {0, 5}) {
          c.transpose_a = ta;
          c.transpose_b = tb;
          c.padding = padding;
          c.accumulate = c.bias = false;
          run_all_types(c);
          c.accumulate = true;
          run_all_types(c);
          c.accumulate = false;
          c.bias = true;
          run_all_types(c);
        }
      }
    }
  }
}

/// oneDNN serves what it has no kernel for by plain loops ("ref"), a hundred times slower; nothing of ours
/// may end there.
TEST(Matmul, NothingFallsToTheReferenceLoops) {
  for (const std::int64_t batch : {1, 8}) {
    for (const std::int64_t m : {1, 8, 77, 512}) {
      for (const std::int64_t n : {16, 512, 2048}) {
        for (const std::int64_t k : {16, 512}) {
          for (const std::int64_t padding : {0, 5}) {
            for (int bits = 0; bits < 32; ++bits) {
              const bool ta = (bits & 1) != 0;
              const bool tb = (bits & 2) != 0;
              const bool accumulate = (bits & 4) != 0;
              const bool bf16 = (bits & 8) != 0;
              const bool mixed = (bits & 16) != 0;
              if ((bf16 && !compute::onednn::multiplies_bf16()) || (mixed && !bf16)) continue;
              const DType in = bf16 ? DType::bf16 : DType::f32;
              const DType out = mixed ? DType::f32 : in;
              compute::onednn::Product product{.batch = batch,
                                               .m = m,
                                               .n = n,
                                               .k = k,
                                               .a_row = (ta ? m : k) + padding,
                                               .b_row = (tb ? k : n) + padding,
                                               .c_row = n + padding,
                                               .a_batch = 0,
                                               .b_batch = 0,
                                               .c_batch = 0,
                                               .input_type = in,
                                               .output_type = out,
                                               .bias_type = DType::f32,
                                               .has_bias = !accumulate,
                                               .transpose_a = ta,
                                               .transpose_b = tb,
                                               .accumulate = accumulate,
                                               .threads = 0};
              if (batch > 1) {
                product.a_batch = product.a_row * (ta ? k : m);
                product.b_batch = product.b_row * (tb ? n : k);
                product.c_batch = product.c_row * m;
              }
              const std::string name = compute::onednn::implementation_of(product, 1);
              EXPECT_EQ(name.find("ref"), std::string::npos)
                  << name << " for " << batch << "x" << Shape{m, n, k}.to_string() << " bits " << bits;
            }
          }
        }
      }
    }
  }
}

TEST(Matmul, SharedOperands) {
  for (const bool ta : {false, true}) {
    for (const bool tb : {false, true}) {
      Case c{3, 8, 12, 5, ta, tb};
      c.share_b = true;
      run_all_types(c);
      c.accumulate = true;
      run_all_types(c);
      c.share_a = true;
      c.share_b = false;
      run_all_types(c);
    }
  }
}

/// Sizes on both sides of the limits at which another driver takes over.
TEST(Matmul, LargerSizes) {
  for (const Case& c : std::vector<Case>{{1, 20, 24, 520, true},
                                         {3, 20, 24, 520, true},
                                         {3, 20, 24, 520, true, false, true},
                                         {1, 530, 520, 64, false, false, true},
                                         {1, 530, 520, 64, false, true, true},
                                         {2, 530, 520, 64, true, false, true},
                                         {1, 260, 24, 32, false, false},
                                         {1, 9, 24, 32, false, true}}) {
    run_all_types(c);
  }
}

TEST(Matmul, LongInnerExtentStaysAccurate) {
  Case c{1, 16, 24, 4096};
  run_all_types(c);
  c.transpose_a = true;
  c.accumulate = true;
  run_all_types(c);
}

TEST(Matmul, ZeroExtents) {
  for (const DType type : {DType::f32, DType::f64, DType::bf16}) {
    const Tensor nothing = Tensor::empty({0}, type);
    const Tensor bias = random_tensor({3}, type, 5);
    const Tensor c = random_tensor({2, 3}, type, 6);
    const std::vector<double> before = to_doubles(c);
    const Matrices a{&nothing, 2, 0, 0, 0, 0};
    const Matrices b{&nothing, 0, 3, 3, 0, 0};
    compute::matmul(a, Transpose::no, b, Transpose::no, compute::as_matrix(c), 1, true);
    EXPECT_EQ(to_doubles(c), before);
    compute::matmul(a, Transpose::no, b, Transpose::no, compute::as_matrix(c), 1, false, bias);
    std::vector<double> rows = to_doubles(bias);
    rows.insert(rows.end(), rows.begin(), rows.begin() + 3);
    EXPECT_EQ(to_doubles(c), rows);
    compute::matmul(a, Transpose::no, b, Transpose::no, compute::as_matrix(c), 1, false);
    EXPECT_EQ(to_doubles(c), std::vector<double>(6, 0.0));
    const Matrices none{&nothing, 0, 3, 3, 0, 0};
    compute::matmul({&nothing, 0, 2, 2, 0, 0}, Transpose::no, compute::as_matrix(c), Transpose::no, none, 1,
                    false);
    compute::matmul(compute::as_matrix(c), Transpose::yes, compute::as_matrix(c), Transpose::no,
                    {&nothing, 3, 3, 3, 9, 0}, 0, false);
  }
}

TEST(Matmul, MetaTensorsOnlyCost) {
  const MetaScope scope;
  const Tensor a = Tensor::empty({64, 512}, DType::bf16);
  const Tensor w = Tensor::empty({256, 512}, DType::bf16);
  const Tensor c = Tensor::empty({64, 256}, DType::bf16);
  compute::CostScope cost;
  compute::matmul(compute::as_matrix(a), Transpose::no, compute::as_matrix(w), Transpose::yes,
                  compute::as_matrix(c), 1, false);
  EXPECT_EQ(cost.cost().matmul_flops, 2.0 * 64 * 256 * 512);
}

TEST(Matmul, AsMatrixFoldsLeadingExtents) {
  const Tensor x = Tensor::meta({2, 3, 5, 7}, DType::f32);
  const Matrices m = compute::as_matrix(x);
  EXPECT_EQ(m.rows, 30);
  EXPECT_EQ(m.columns, 7);
  EXPECT_EQ(m.row_stride, 7);
}

TEST(Matmul, SecondThreadGivesTheSame) {
  const Tensor a = random_tensor({200, 300}, DType::f32, 7);
  const Tensor b = random_tensor({150, 300}, DType::f32, 8);
  const Tensor one = Tensor::empty({200, 150}, DType::f32);
  const Tensor two = Tensor::empty({200, 150}, DType::f32);
  const auto multiply = [&](const Tensor& c) {
    compute::matmul(compute::as_matrix(a), Transpose::no, compute::as_matrix(b), Transpose::yes,
                    compute::as_matrix(c), 1, false);
  };
  multiply(one);
  compute::set_matmul_threads(2);
  multiply(two);
  compute::set_matmul_threads(1);
  test::expect_near(two, one, 1e-5);
  EXPECT_THROW(compute::set_matmul_threads(0), Error);
}

TEST(Matmul, RefusesWhatDoesNotFit) {
  const Tensor a = Tensor::zeros({4, 6}, DType::f32);
  const Tensor b = Tensor::zeros({6, 8}, DType::f32);
  const Tensor c = Tensor::zeros({4, 8}, DType::f32);
  const auto m = [](const Tensor& tensor) { return compute::as_matrix(tensor); };
  const auto multiply = [&](const Matrices& x, const Matrices& y, const Matrices& z, const Tensor& bias = {},
                            bool accumulate = false) {
    compute::matmul(x, Transpose::no, y, Transpose::no, z, 1, accumulate, bias);
  };
  multiply(m(a), m(b), m(c));
  EXPECT_THROW(multiply(m(b), m(a), m(c)), Error);
  EXPECT_THROW(multiply({}, m(b), m(c)), Error);
  EXPECT_THROW(multiply({&a, 4, 6, 6, 0, 1}, m(b), m(c)), Error);  // reads past the end
  EXPECT_THROW(multiply({&a, 4, 6, 5, 0, 0}, m(b), m(c)), Error);  // rows overlap
  EXPECT_THROW(multiply(m(a), m(b), m(c), Tensor::zeros({7}, DType::f32)), Error);
  EXPECT_THROW(multiply(m(a), m(b), m(c), Tensor::zeros({8}, DType::f32), true), Error);
  const Tensor other = Tensor::zeros({6, 8}, DType::bf16);
  EXPECT_THROW(multiply(m(a), m(other), m(c)), Error);
  const Tensor longer = Tensor::zeros({4, 8}, DType::f64);
  EXPECT_THROW(multiply(m(a), m(b), m(longer)), Error);
  const Tensor whole = Tensor::zeros({4, 8}, DType::i32);
  EXPECT_THROW(multiply(m(a), m(b), m(whole)), Error);
}

}  // namespace
}  // namespace tessera
