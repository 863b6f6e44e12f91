// Values that are made again for backward: the same bits, once, and no memory in between.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <tuple>

#include "ops/elementwise.hpp"
#include "ops/experts.hpp"
#include "ops/linear.hpp"
#include "ops/norm.hpp"
#include "ops/residual.hpp"
#include "unit/ops/gradient_check.hpp"

namespace tessera {
namespace {

using ops::Variable;
using test::random_tensor;

std::string bytes_of(const Tensor& tensor) {
  return {static_cast<const char*>(tensor.raw()), tensor.bytes()};
}

void expect_made_again(const Variable& y) {
  const ops::Kept kept = y.kept();
  ASSERT_TRUE(kept.remade());
  const Tensor again = kept.tensor();
  EXPECT_NE(again.raw(), y.value().raw());
  EXPECT_TRUE(again.shape() == y.shape());
  EXPECT_EQ(again.dtype(), y.dtype());
  EXPECT_EQ(bytes_of(again), bytes_of(y.value()));
}

/// Widths that vectors divide and that they do not.
class Kept : public testing::TestWithParam<std::tuple<DType, std::int64_t>> {
 protected:
  [[nodiscard]] Variable leaf(const Shape& shape, unsigned seed) const {
    return Variable::leaf(random_tensor(shape, type_, seed, -3, 3));
  }
  DType type_ = std::get<0>(GetParam());
  std::int64_t width_ = std::get<1>(GetParam());
  DType wide_ = type_ == DType::f64 ? DType::f64 : DType::f32;
};

TEST_P(Kept, ActivationsAreMadeAgainInTheSameBits) {
  const Variable x = leaf({2, 5, width_}, 1);
  expect_made_again(ops::gelu_tanh(x));
  expect_made_again(ops::gelu_erf(x));
  expect_made_again(ops::silu(x));
  expect_made_again(ops::swiglu(x, leaf({2, 5, width_}, 2)));
  expect_made_again(ops::silu(ops::gelu_erf(x)));
}

TEST_P(Kept, NormsAreMadeAgainInTheSameBits) {
  const Variable x = leaf({2, 5, width_}, 1);
  const Variable gain = Variable::leaf(random_tensor({width_}, wide_, 2));
  const Variable modulation = Variable::leaf(random_tensor({2, 3, width_}, wide_, 3));
  expect_made_again(ops::layer_norm(x, Variable(), 1e-6, wide_));
  expect_made_again(ops::layer_norm(x, gain, 1e-6, type_));
  expect_made_again(ops::modulated_layer_norm(x, gain, modulation, 0, 1, 1e-6, wide_));
  expect_made_again(ops::modulated_layer_norm(ops::gelu_erf(x), Variable(), modulation, 1, 2, 1e-6, type_));
}

TEST_P(Kept, GatedResidualsAreMadeAgainInTheSameBits) {
  const Variable modulation = Variable::leaf(random_tensor({2, 3, width_}, wide_, 3));
  const Variable stream = Variable::leaf(random_tensor({2, 5, width_}, wide_, 4));
  const Variable once = ops::gated_residual(stream, leaf({2, 5, width_}, 1), modulation, 2);
  expect_made_again(once);
  expect_made_again(ops::gated_residual(once, leaf({2, 5, width_}, 5), modulation, 0));
}

TEST_P(Kept, WhatOnlyMovesIsMadeAgainFromWhatIsMadeAgain) {
  const Variable x = leaf({2, 5, width_}, 1);
  const Tensor chosen = ops::choose_tokens(random_tensor({2, 5, 3}, DType::f32, 2), 2);
  const Variable activated = ops::silu(x);
  expect_made_again(ops::gather_chosen(activated, chosen));
  expect_made_again(ops::reshape(activated, {10, width_}));
  // Of a value that stays in memory anyway they would keep more than their result.
  EXPECT_FALSE(ops::gather_chosen(x, chosen).kept().remade());
  EXPECT_FALSE(ops::reshape(x, {10, width_}).kept().remade());
  if (type_ == DType::f64) return;
  const DType other = type_ == DType::f32 ? DType::bf16 : DType::f32;
  expect_made_again(ops::cast(activated, other));
  EXPECT_FALSE(ops::cast(x, other).kept().remade());
}

INSTANTIATE_TEST_SUITE_P(Types, Kept,
                         testing::Combine(testing::Values(DType::f32, DType::bf16, DType::f64),
                                          testing::Values(64, 37)),
                         [](const auto& type) {
                           return std::string(name_of(std::get<0>(type.param))) + "_" +
                                  std::to_string(std::get<1>(type.param));
                         });

TEST(KeptValues, ConstantsAreKeptAsTheyAre) {
  const Variable constant(random_tensor({4, 8}, DType::f32, 1));
  EXPECT_FALSE(ops::silu(constant).kept().remade());
  const Variable leaf = Variable::leaf(constant.value());
  EXPECT_EQ(leaf.kept().tensor().raw(), leaf.value().raw());
  const ops::NoGradScope scope;
  EXPECT_FALSE(ops::silu(leaf).kept().remade());
}

// A chain as in a transformer block: what makes the values again depends on others that are made again.
TEST(KeptValues, GradientsOfAChainAreThoseOfItsFunction) {
  test::expect_gradients(
      [](const std::vector<Variable>& in) {
        const Variable& modulation = in[3];
        Variable x = ops::gated_residual(in[0], ops::linear(ops::silu(in[0]), in[1], {}), modulation, 0);
        x = ops::gated_residual(x, ops::linear(ops::gelu_tanh(x), in[1], {}), modulation, 1);
        const Variable normed = ops::modulated_layer_norm(x, in[2], modulation, 0, 1, 1e-3, DType::f64);
        return ops::linear(ops::swiglu(ops::linear(normed, in[1], {}), normed), in[1], {});
      },
      {random_tensor({2, 3, 4}, DType::f64, 1), random_tensor({4, 4}, DType::f64, 2),
       random_tensor({4}, DType::f64, 3), random_tensor({2, 2, 4}, DType::f64, 4)});
}

// A stream of gated residuals alone is not made again from its start: every third stays in memory.
TEST(KeptValues, AChainThatIsMadeAgainIsShort) {
  const Variable modulation = Variable::leaf(random_tensor({1, 1, 32}, DType::f32, 1));
  const Variable branch = Variable::leaf(random_tensor({1, 8, 32}, DType::f32, 2));
  Variable y = Variable::leaf(random_tensor({1, 8, 32}, DType::f32, 3));
  const std::size_t size = y.value().bytes();
  const std::size_t before = memory_statistics().current;
  for (int i = 1; i <= 9; ++i) {
    y = ops::gated_residual(y, branch, modulation, 0);
    EXPECT_EQ(y.kept().depth(), i % 3) << i;
  }
  EXPECT_EQ(ops::silu(ops::silu(branch)).kept().depth(), 2);
  EXPECT_EQ(memory_statistics().current, before + 3 * size);
}

TEST(KeptValues, TakeNoMemoryBetweenForwardAndBackward) {
  const Variable x = Variable::leaf(random_tensor({64, 32}, DType::f32, 1));
  const Variable weight = Variable::leaf(random_tensor({32, 32}, DType::f32, 2));
  const std::size_t before = memory_statistics().current;
  const std::size_t size = x.value().bytes();
  Variable y = ops::linear(ops::gelu_erf(ops::linear(x, weight, {})), weight, {});
  EXPECT_EQ(memory_statistics().current, before + 2 * size);  // what gelu read, and y
  reset_peak_memory();
  ops::backward(y, random_tensor(y.shape(), DType::f32, 3));
  EXPECT_GE(memory_statistics().peak, before + 3 * size);
  y = {};
  EXPECT_EQ(memory_statistics().current, before + x.gradient().bytes() + weight.gradient().bytes());
}

TEST(KeptValues, AreMadeOnceForAllUsersAndGoBeforeTheirOwnBackward) {
  const Variable x = Variable::leaf(random_tensor({8, 8}, DType::f32, 1));
  const Variable weight = Variable::leaf(random_tensor({8, 8}, DType::f32, 2));
  int made = 0;
  std::weak_ptr<Tensor> again;
  bool gone_in_backward = false;
  const auto make = [&] {
    ++made;
    const Tensor copy = Tensor::empty(x.shape(), DType::f32);
    copy.copy_from(x.value());
    return copy;
  };
  const Variable copy = ops::record(
      make(), {x},
      [&, node = x.node()](const Tensor& dy) {
        gone_in_backward = again.expired();
        ops::pass_gradient(node, dy);
      },
      [&] {
        const auto owner = std::make_shared<Tensor>(make());
        again = owner;
        return Tensor::wrap(owner->raw(), owner->shape(), owner->dtype(), owner);
      });
  EXPECT_EQ(made, 1);
  const Variable y = ops::residual(ops::linear(copy, weight, {}), ops::linear(copy, weight, {}));
  ops::backward(y, random_tensor(y.shape(), DType::f32, 3));
  EXPECT_EQ(made, 2);
  EXPECT_TRUE(gone_in_backward);
}

}  // namespace
}  // namespace tessera
