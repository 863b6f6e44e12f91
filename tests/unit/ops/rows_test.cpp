// Operations on whole rows against plain loops, and central differences.
#include "ops/rows.hpp"

#include <gtest/gtest.h>

#include "ops/elementwise.hpp"
#include "unit/ops/gradient_check.hpp"

namespace tessera {
namespace {

using ops::Variable;
using test::expect_gradients;
using test::expect_near;
using test::random_tensor;
using test::to_doubles;

std::vector<double> sums(const Tensor& x, const Tensor& table) {
  const std::int64_t rows = table.shape()[0];
  const std::int64_t width = table.shape()[1];
  const bool broadcast = x.shape()[1] == 1;
  const std::vector<double> values = to_doubles(x);
  const std::vector<double> added = to_doubles(table);
  std::vector<double> expected;
  for (std::int64_t b = 0; b < x.shape()[0]; ++b) {
    for (std::int64_t r = 0; r < rows; ++r) {
      for (std::int64_t c = 0; c < width; ++c) {
        const std::int64_t from = broadcast ? b * width + c : (b * rows + r) * width + c;
        expected.push_back(values[static_cast<std::size_t>(from)] +
                           added[static_cast<std::size_t>(r * width + c)]);
      }
    }
  }
  return expected;
}

TEST(Rows, AddTable) {
  const Tensor table = random_tensor({6, 70}, DType::f64, 1);
  for (const std::int64_t rows : {6, 1}) {
    const Tensor x = random_tensor({3, rows, 70}, DType::f64, 2);
    const Variable y = ops::add_table(Variable(x), Variable(table));
    EXPECT_TRUE((y.shape() == Shape{3, 6, 70}));
    EXPECT_EQ(to_doubles(y.value()), sums(x, table));
  }
  const Tensor one = random_tensor({1, 4}, DType::f32, 3);  // a table of one row
  const Tensor x = random_tensor({2, 1, 4}, DType::f32, 4);
  expect_near(to_doubles(ops::add_table(Variable(x), Variable(one)).value()), sums(x, one), 1e-7);
}

TEST(Rows, AddTableKeepsTheTypeOfX) {
  const Tensor table = random_tensor({2, 8}, DType::f32, 5);
  const Tensor x = random_tensor({3, 1, 8}, DType::bf16, 6);
  const Variable y = ops::add_table(Variable(x), Variable(table));
  EXPECT_EQ(y.dtype(), DType::bf16);
  expect_near(to_doubles(y.value()), sums(x, table), 1e-2);
}

TEST(Rows, AddTableGradients) {
  for (const std::int64_t rows : {6, 1}) {
    expect_gradients([](const std::vector<Variable>& in) { return ops::add_table(in[0], in[1]); },
                     {random_tensor({3, rows, 5}, DType::f64, 7), random_tensor({6, 5}, DType::f64, 8)});
  }
  // Both gradients come from one gradient of the result, which a first user may take over.
  expect_gradients(
      [](const std::vector<Variable>& in) {
        const Variable y = ops::add_table(in[0], in[1]);
        return ops::add(y, ops::add_table(ops::silu(y), in[1]));
      },
      {random_tensor({2, 4, 3}, DType::f64, 9), random_tensor({4, 3}, DType::f64, 10)});
}

TEST(Rows, AddTableChecksItsShapes) {
  const Variable table(random_tensor({6, 4}, DType::f32, 1));
  EXPECT_THROW((void)ops::add_table(Variable(random_tensor({2, 3, 4}, DType::f32, 1)), table), Error);
  EXPECT_THROW((void)ops::add_table(Variable(random_tensor({2, 6, 5}, DType::f32, 1)), table), Error);
  EXPECT_THROW((void)ops::add_table(Variable(random_tensor({12, 4}, DType::f32, 1)), table), Error);
  EXPECT_THROW((void)ops::add_table(Variable(random_tensor({2, 6, 4}, DType::f64, 1)), table), Error);
}

TEST(Rows, GatherRows) {
  const std::vector<std::int64_t> index{2, 0, 2, 4, 2};
  for (const DType type : {DType::f64, DType::f32, DType::bf16}) {
    const Tensor table = random_tensor({5, 130}, type, 11);
    const Variable y = ops::gather_rows(Variable(table), index);
    EXPECT_TRUE((y.shape() == Shape{5, 130}));
    EXPECT_EQ(y.dtype(), type);
    std::vector<double> expected;
    for (const std::int64_t row : index) {
      const auto first = to_doubles(table.slice(row, row + 1));
      expected.insert(expected.end(), first.begin(), first.end());
    }
    EXPECT_EQ(to_doubles(y.value()), expected);
  }
}

TEST(Rows, GatherRowsGradients) {
  // Row 2 is asked for three times, rows 1 and 3 not at all.
  expect_gradients(
      [](const std::vector<Variable>& in) {
        return ops::gather_rows(in[0], {2, 0, 2, 4, 2});
      },
      {random_tensor({5, 130}, DType::f64, 12)});
}

TEST(Rows, GatherRowsSumsInFloat32) {
  // 300 gradients of 1 are 300 also in a table of bfloat16, whose numbers above 256 are even.
  Variable table = Variable::leaf(random_tensor({2, 3}, DType::bf16, 13));
  const Variable y = ops::gather_rows(table, std::vector<std::int64_t>(300, 1));
  ops::backward(
      y,
      ops::cast(Variable(Tensor::from_host(std::vector<double>(900, 1.0), {300, 3})), DType::bf16).value());
  EXPECT_EQ(to_doubles(table.gradient()), (std::vector<double>{0, 0, 0, 300, 300, 300}));
}

TEST(Rows, GatherRowsChecksItsIndices) {
  const Variable table(random_tensor({5, 3}, DType::f32, 1));
  EXPECT_THROW((void)ops::gather_rows(table, {0, 5}), Error);
  EXPECT_THROW((void)ops::gather_rows(table, {-1}), Error);
  EXPECT_TRUE((ops::gather_rows(table, {}).shape() == Shape{0, 3}));
}

TEST(Rows, JoinRows) {
  const Tensor a = random_tensor({3, 70}, DType::f32, 14);
  const Tensor b = random_tensor({3, 5}, DType::f32, 15);
  const Variable y = ops::join_rows(Variable(a), Variable(b));
  EXPECT_TRUE((y.shape() == Shape{3, 75}));
  std::vector<double> expected;
  for (std::int64_t row = 0; row < 3; ++row) {
    for (const Tensor& part : {a, b}) {
      const auto values = to_doubles(part.slice(row, row + 1));
      expected.insert(expected.end(), values.begin(), values.end());
    }
  }
  EXPECT_EQ(to_doubles(y.value()), expected);
  EXPECT_THROW((void)ops::join_rows(Variable(a), Variable(random_tensor({2, 5}, DType::f32, 1))), Error);
  EXPECT_THROW((void)ops::join_rows(Variable(a), Variable(random_tensor({3, 5}, DType::f64, 1))), Error);
}

TEST(Rows, JoinRowsGradients) {
  expect_gradients([](const std::vector<Variable>& in) { return ops::join_rows(in[0], in[1]); },
                   {random_tensor({3, 4}, DType::f64, 16), random_tensor({3, 2}, DType::f64, 17)});
  expect_gradients([](const std::vector<Variable>& in) { return ops::join_rows(in[0], in[0]); },
                   {random_tensor({3, 4}, DType::f64, 18)});
}

TEST(Rows, ShapesWithoutMemory) {
  const MetaScope meta;
  const Variable table = Variable::leaf(Tensor::empty({6, 4}, DType::f32));
  const Variable x = Variable::leaf(Tensor::empty({2, 1, 4}, DType::f32));
  const Variable y = ops::add_table(x, table);
  EXPECT_TRUE((y.shape() == Shape{2, 6, 4}));
  ops::backward(y, Tensor::empty(y.shape(), DType::f32));
  EXPECT_TRUE((x.gradient().shape() == Shape{2, 1, 4}));
  const Variable rows = ops::gather_rows(table, {1, 5});
  ops::backward(rows, Tensor::empty({2, 4}, DType::f32));
  EXPECT_TRUE((ops::join_rows(rows, rows).shape() == Shape{2, 8}));
}

}  // namespace
}  // namespace tessera
