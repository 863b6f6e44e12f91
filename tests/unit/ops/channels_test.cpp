// A range of channels against picking elements one by one, and central differences.
#include "ops/channels.hpp"

#include <gtest/gtest.h>

#include "unit/ops/gradient_check.hpp"

namespace tessera {
namespace {

using ops::Variable;
using test::random_tensor;
using test::to_doubles;

TEST(ChannelRange, Values) {
  for (const DType type : {DType::f32, DType::f64, DType::bf16}) {
    const Tensor x = random_tensor({2, 5, 2, 3}, type, 1);
    const std::vector<double> all = to_doubles(x);
    const Variable part = ops::channel_range(Variable(x), 1, 3);
    ASSERT_TRUE((part.shape() == Shape{2, 3, 2, 3}));
    EXPECT_EQ(part.dtype(), type);
    const std::vector<double> values = to_doubles(part.value());
    for (std::size_t b = 0; b < 2; ++b) {
      for (std::size_t i = 0; i < 18; ++i) EXPECT_EQ(values[b * 18 + i], all[b * 30 + 6 + i]);
    }
  }
}

TEST(ChannelRange, Gradients) {
  test::expect_gradients([](const std::vector<Variable>& in) { return ops::channel_range(in[0], 1, 3); },
                         {random_tensor({2, 5, 2, 3}, DType::f64, 2)});
}

TEST(ChannelRange, TwoRangesOfOneInputShareItsGradient) {
  const Variable x = Variable::leaf(random_tensor({2, 4, 2, 2}, DType::f32, 3));
  const Tensor seed = random_tensor({2, 2, 2, 2}, DType::f32, 4);
  const std::vector<double> s = to_doubles(seed);
  for (const std::int64_t first : {0, 2}) {
    ops::backward(ops::channel_range(x, first, 2), random_tensor({2, 2, 2, 2}, DType::f32, 4));
  }
  const std::vector<double> gradient = to_doubles(x.gradient());
  for (std::size_t i = 0; i < gradient.size(); ++i) EXPECT_EQ(gradient[i], s[i / 16 * 8 + i % 8]);
}

TEST(ChannelRange, BadRangesAreNamed) {
  const Variable x(random_tensor({2, 4, 2, 2}, DType::f32, 5));
  EXPECT_THROW((void)ops::channel_range(x, 3, 2), Error);
  EXPECT_THROW((void)ops::channel_range(x, -1, 2), Error);
  EXPECT_THROW((void)ops::channel_range(x, 0, 0), Error);
  EXPECT_THROW((void)ops::channel_range(Variable(random_tensor({2, 4}, DType::f32, 5)), 0, 1), Error);
}

TEST(ChannelRange, MetaTensorsGiveShapesOnly) {
  const MetaScope scope;
  const Variable x = Variable::leaf(Tensor::empty({2, 4, 2, 2}, DType::bf16));
  const Variable part = ops::channel_range(x, 0, 2);
  EXPECT_TRUE((part.shape() == Shape{2, 2, 2, 2}));
  ops::backward(part, Tensor::meta({2, 2, 2, 2}, DType::bf16));
  EXPECT_TRUE(x.gradient().is_meta());
}

}  // namespace
}  // namespace tessera
