// The recorded graph: which gradients arrive, in what order, and when memory is let go.
#include "ops/graph.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "ops/accumulate.hpp"
#include "ops/elementwise.hpp"
#include "ops/residual.hpp"
#include "ops/softmax.hpp"
#include "unit/ops/gradient_check.hpp"

namespace tessera {
namespace {

using ops::Variable;
using test::expect_gradients;
using test::expect_near;
using test::random_tensor;
using test::to_doubles;

Tensor ones(const Shape& shape, DType type = DType::f64) { return random_tensor(shape, type, 1, 1, 1); }

// y = factor * x, noting in `log` when its backward runs.
Variable scaled(const Variable& x, double factor, std::vector<double>* log = nullptr) {
  const auto times = [](const Tensor& in, double by) {
    std::vector<double> values = to_doubles(in);
    for (double& value : values) value *= by;
    return Tensor::from_host(values, in.shape());
  };
  return ops::record(times(x.value(), factor), {x}, [node = x.node(), factor, log, times](const Tensor& dy) {
    if (log != nullptr) log->push_back(factor);
    ops::pass_gradient(node, times(dy, factor));
  });
}

TEST(Graph, ADiamondAddsBothPaths) {
  const Variable x = Variable::leaf(ones({3}));
  const Variable y = scaled(x, 2);
  ops::backward(ops::add(scaled(y, 3), scaled(y, 5)), ones({3}));
  EXPECT_EQ(to_doubles(x.gradient()), std::vector<double>(3, 16.0));
}

TEST(Graph, ANodeRunsOnceAfterAllItsUsers) {
  std::vector<double> log;
  const Variable x = Variable::leaf(ones({2}));
  const Variable shared = scaled(x, 7, &log);
  // A chain beside a direct use: a depth-first walk would reach `shared` before the chain is done.
  const Variable chain = scaled(scaled(shared, 2, &log), 3, &log);
  ops::backward(ops::add(shared, chain), ones({2}));
  EXPECT_EQ(log, (std::vector<double>{3, 2, 7}));
  EXPECT_EQ(to_doubles(x.gradient()), std::vector<double>(2, 49.0));
}

TEST(Graph, DiamondsOfRealOperations) {
  expect_gradients(
      [](const std::vector<Variable>& in) {
        const Variable a = ops::silu(in[0]);
        const Variable b = ops::swiglu(a, in[1]);
        const Variable c = ops::residual(a, b);
        return ops::residual(c, ops::swiglu(c, ops::add(a, in[1])));
      },
      {random_tensor({3, 4}, DType::f64, 2), random_tensor({3, 4}, DType::f64, 3)});
}

TEST(Graph, GradientsAccumulateOverBackwardsUntilCleared) {
  const Variable x = Variable::leaf(ones({2}));
  for (int i = 1; i <= 3; ++i) {
    ops::backward(scaled(x, 2), ones({2}));
    EXPECT_EQ(to_doubles(x.gradient()), std::vector<double>(2, 2.0 * i));
  }
  x.node()->clear_gradient();
  EXPECT_FALSE(x.gradient().defined());
  ops::backward(scaled(x, 5), ones({2}));
  EXPECT_EQ(to_doubles(x.gradient()), std::vector<double>(2, 5.0));
}

TEST(Graph, GradientMemoryOfALeafIsKeptAndStaleContentOverwritten) {
  const Tensor memory = Tensor::from_host(std::vector<float>{9, 9}, {2});
  const Variable x = Variable::leaf(random_tensor({2}, DType::bf16, 4), memory);
  const Tensor seed = random_tensor({2}, DType::bf16, 5);
  const std::vector<double> expected = to_doubles(seed);
  ops::backward(ops::reshape(x, {2, 1}), seed.view({2, 1}));
  EXPECT_EQ(x.gradient().raw(), memory.raw());
  EXPECT_EQ(to_doubles(memory), expected);
  x.node()->clear_gradient();
  ops::backward(ops::reshape(x, {2, 1}), random_tensor({2, 1}, DType::bf16, 5));
  EXPECT_EQ(to_doubles(memory), expected);
  EXPECT_THROW((void)Variable::leaf(random_tensor({2}, DType::f32, 1), Tensor::empty({3}, DType::f32)),
               Error);
}

TEST(Graph, ConstantsAndDetachedValuesGetNoHistory) {
  const Variable x = Variable::leaf(ones({2}));
  EXPECT_FALSE(scaled(Variable(ones({2})), 2).requires_grad());
  EXPECT_FALSE(scaled(x.detach(), 2).requires_grad());
  EXPECT_TRUE(scaled(x, 2).requires_grad());
  EXPECT_THROW(ops::backward(Variable(ones({2})), ones({2})), Error);
  EXPECT_THROW(ops::backward(scaled(x, 2), ones({3})), Error);
}

TEST(Graph, NoGradScopeRecordsNothingAndNests) {
  const Variable x = Variable::leaf(ones({2}));
  {
    const ops::NoGradScope scope;
    EXPECT_FALSE(ops::grad_enabled());
    EXPECT_FALSE(scaled(x, 2).requires_grad());
    {
      const ops::NoGradScope inner(false);
      EXPECT_TRUE(scaled(x, 2).requires_grad());
    }
    EXPECT_FALSE(scaled(x, 2).requires_grad());
  }
  EXPECT_TRUE(ops::grad_enabled());
}

TEST(Graph, AnUnusedInputGetsNoGradient) {
  const Variable x = Variable::leaf(ones({2}));
  const Variable unused = Variable::leaf(ones({2}));
  (void)scaled(unused, 2);
  ops::backward(scaled(x, 2), ones({2}));
  EXPECT_FALSE(unused.gradient().defined());
}

TEST(Graph, ProgressFallsAndAnnouncesAGradientOnlyWhenItIsComplete) {
  const Variable first = Variable::leaf(random_tensor({4}, DType::f64, 6));
  const Variable second = Variable::leaf(random_tensor({4}, DType::f64, 7));
  const Variable third = Variable::leaf(random_tensor({4}, DType::f64, 8));
  for (const Variable* leaf : {&first, &second, &third}) {
    leaf->node()->clear_uses();
    EXPECT_EQ(leaf->node()->first_use(), ops::Node::never);
  }
  // `first` is used first and, again, last.
  const Variable a = ops::swiglu(first, second);
  const Variable b = ops::add(a, third);
  const Variable y = ops::swiglu(b, first);
  EXPECT_LT(first.node()->first_use(), third.node()->first_use());
  EXPECT_EQ(first.node()->first_use(), second.node()->first_use());

  std::vector<std::uint64_t> orders;
  std::vector<std::vector<double>> when_complete(3);
  const Variable* leaves[] = {&first, &second, &third};
  ops::set_backward_progress([&](std::uint64_t order) {
    orders.push_back(order);
    for (std::size_t i = 0; i < 3; ++i) {
      if (leaves[i]->node()->first_use() >= order && when_complete[i].empty()) {
        when_complete[i] = to_doubles(leaves[i]->gradient());
      }
    }
  });
  ops::backward(y, ones({4}));
  ops::set_backward_progress({});
  EXPECT_EQ(orders.size(), 3U);
  EXPECT_TRUE(std::is_sorted(orders.rbegin(), orders.rend()));
  for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(when_complete[i], to_doubles(leaves[i]->gradient())) << i;
}

TEST(Graph, BackwardReleasesWhatForwardSaved) {
  const std::size_t before = memory_statistics().current;
  {
    const Variable x = Variable::leaf(random_tensor({64, 64}, DType::f64, 9));
    const std::size_t size = x.value().bytes();
    Variable y = x;
    for (int i = 0; i < 10; ++i) y = ops::softmax(y);  // whose backward needs its result
    EXPECT_GE(memory_statistics().current, before + 11 * size);
    reset_peak_memory();
    const std::size_t forward = memory_statistics().current;
    ops::backward(y, ones({64, 64}));
    // Left: x, y and x's gradient. On the way: the gradient going down and the one being made.
    EXPECT_EQ(memory_statistics().current, before + 3 * size);
    EXPECT_LE(memory_statistics().peak, forward + 3 * size);
  }
  EXPECT_EQ(memory_statistics().current, before);
}

TEST(Graph, AGradientIsWrittenToLentMemoryUntilItIsTaken) {
  const Variable x = Variable::leaf(ones({2, 3}));
  const Tensor memory = Tensor::zeros({6}, DType::f64);
  x.node()->lend_gradient(memory);
  EXPECT_FALSE(x.node()->has_gradient());
  for (int i = 0; i < 2; ++i) ops::backward(ops::silu(x), ones({2, 3}));  // adds there
  const Tensor first = x.node()->take_gradient();
  EXPECT_EQ(first.raw(), memory.raw());
  EXPECT_TRUE(first.shape() == x.shape());
  const std::vector<double> twice = to_doubles(first);
  ops::backward(ops::silu(x), ones({2, 3}));
  const Tensor second = x.node()->take_gradient();
  EXPECT_NE(second.raw(), memory.raw());
  for (const double value : to_doubles(second)) EXPECT_DOUBLE_EQ(2 * value, twice.front());
  EXPECT_EQ(to_doubles(memory), twice);

  x.node()->lend_gradient(memory);
  EXPECT_FALSE(x.node()->take_gradient().defined());  // nothing arrived
  EXPECT_THROW(x.node()->lend_gradient(Tensor::zeros({6}, DType::f32)), Error);
  EXPECT_THROW(x.node()->lend_gradient(Tensor::zeros({5}, DType::f64)), Error);
}

TEST(Graph, PassGradientTakesTheTensorOverOnlyWhenItMay) {
  const Variable x = Variable::leaf(ones({2, 3}));
  const Tensor gradient = ones({6});
  ops::pass_gradient(x.node(), gradient);
  EXPECT_EQ(x.gradient().raw(), gradient.raw());
  EXPECT_TRUE((x.gradient().shape() == Shape{2, 3}));
  ops::pass_gradient(x.node(), ones({2, 3}));
  EXPECT_EQ(to_doubles(x.gradient()), std::vector<double>(6, 2.0));

  const Variable brief = Variable::leaf(random_tensor({2}, DType::bf16, 1), Tensor::empty({2}, DType::f32));
  const Tensor other = random_tensor({2}, DType::bf16, 2);
  ops::pass_gradient(brief.node(), other);
  EXPECT_NE(brief.gradient().raw(), other.raw());
  EXPECT_EQ(brief.gradient().dtype(), DType::f32);
  EXPECT_EQ(to_doubles(brief.gradient()), to_doubles(other));
}

TEST(Accumulate, EveryPairOfTypesOverwritesAndAdds) {
  for (const DType from : {DType::f32, DType::f64, DType::bf16}) {
    for (const DType to : {DType::f32, DType::f64, DType::bf16}) {
      const double rounding = to == DType::bf16 ? 1.0 / 256 : (to == DType::f32 ? 1e-7 : 0);
      const Tensor source = random_tensor({77}, from, 10);
      Tensor destination = random_tensor({77}, to, 11);
      std::vector<double> expected = to_doubles(destination);
      for (std::size_t i = 0; i < 77; ++i) expected[i] += to_doubles(source)[i];
      ops::add_into(source, destination, true);
      expect_near(to_doubles(destination), expected, rounding);
      ops::add_into(source, destination, false);
      expect_near(to_doubles(destination), to_doubles(source), rounding);
      expect_near(to_doubles(ops::converted(source, to)), to_doubles(source), rounding);
    }
  }
  const Tensor same = random_tensor({3}, DType::f32, 12);
  EXPECT_EQ(ops::converted(same, DType::f32).raw(), same.raw());
  EXPECT_THROW(ops::add_into(same, Tensor::empty({4}, DType::f32), false), Error);
  EXPECT_TRUE(ops::converted(Tensor::meta({3}, DType::f32), DType::bf16).is_meta());
}

}  // namespace
}  // namespace tessera
