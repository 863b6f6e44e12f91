// Expert choice: the choice against a full sort, gathering and scattering against plain loops and finite
// differences, and the whole router -> gather -> experts -> scatter path.
#include "ops/experts.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <vector>

#include "ops/linear.hpp"
#include "ops/softmax.hpp"
#include "unit/ops/gradient_check.hpp"

namespace tessera {
namespace {

using ops::Variable;
using test::random_tensor;
using test::to_doubles;

/// The choice by a stable sort of all tokens.
std::vector<std::int32_t> sorted_choice(const Tensor& probabilities, std::int64_t count) {
  const std::vector<double> p = to_doubles(probabilities);
  const auto batch = static_cast<std::size_t>(probabilities.shape()[0]);
  const auto tokens = static_cast<std::size_t>(probabilities.shape()[1]);
  const auto experts = static_cast<std::size_t>(probabilities.shape()[2]);
  std::vector<std::int32_t> chosen;
  for (std::size_t e = 0; e < experts; ++e) {
    for (std::size_t b = 0; b < batch; ++b) {
      std::vector<std::int32_t> order(tokens);
      std::iota(order.begin(), order.end(), 0);
      const auto value = [&](std::int32_t t) {
        return p[(b * tokens + static_cast<std::size_t>(t)) * experts + e];
      };
      std::stable_sort(order.begin(), order.end(),
                       [&](std::int32_t i, std::int32_t j) { return value(i) > value(j); });
      chosen.insert(chosen.end(), order.begin(), order.begin() + count);
    }
  }
  return chosen;
}

TEST(ChooseTokens, IsTheHeadOfAStableSort) {
  for (const DType type : {DType::f64, DType::f32, DType::bf16}) {
    for (const std::int64_t tokens : {1, 2, 16, 65, 256}) {
      for (const std::int64_t count : {std::int64_t{0}, std::int64_t{1}, tokens / 4, tokens / 2, tokens}) {
        const Tensor p = random_tensor({3, tokens, 4}, type, 1, 0, 1);
        const Tensor chosen = ops::choose_tokens(p, count);
        EXPECT_EQ(chosen.shape(), (Shape{4, 3, count}));
        EXPECT_EQ(chosen.to_host<std::int32_t>(), sorted_choice(p, count));
      }
    }
  }
}

TEST(ChooseTokens, TiesGoToTheLowerToken) {
  std::vector<float> values;
  for (int i = 0; i < 2 * 50 * 3; ++i) values.push_back(static_cast<float>((i * 7) % 5));
  const Tensor p = Tensor::from_host(values, {2, 50, 3});
  EXPECT_EQ(ops::choose_tokens(p, 21).to_host<std::int32_t>(), sorted_choice(p, 21));
  const Tensor same = Tensor::zeros({1, 9, 2}, DType::f32);
  EXPECT_EQ(ops::choose_tokens(same, 4).to_host<std::int32_t>(),
            (std::vector<std::int32_t>{0, 1, 2, 3, 0, 1, 2, 3}));
}

TEST(ChooseTokens, AnotherImageInTheBatchChangesNothing) {
  const Tensor p = random_tensor({4, 30, 5}, DType::f32, 3, 0, 1);
  const std::vector<std::int32_t> all = ops::choose_tokens(p, 7).to_host<std::int32_t>();
  for (std::int64_t b = 0; b < 4; ++b) {
    const std::vector<std::int32_t> one = ops::choose_tokens(p.slice(b, b + 1), 7).to_host<std::int32_t>();
    for (std::int64_t e = 0; e < 5; ++e) {
      for (std::int64_t s = 0; s < 7; ++s) {
        EXPECT_EQ(one[static_cast<std::size_t>(e * 7 + s)],
                  all[static_cast<std::size_t>((e * 4 + b) * 7 + s)]);
      }
    }
  }
}

TEST(ChooseTokens, NaNStillGivesATokenOnce) {
  std::vector<float> values(40, 0.1F);
  for (const std::size_t i : {0U, 5U, 17U, 39U}) values[i] = std::nanf("");
  const std::vector<std::int32_t> chosen =
      ops::choose_tokens(Tensor::from_host(values, {1, 40, 1}), 10).to_host<std::int32_t>();
  std::vector<std::int32_t> sorted = chosen;
  std::sort(sorted.begin(), sorted.end());
  EXPECT_EQ(std::adjacent_find(sorted.begin(), sorted.end()), sorted.end());
  EXPECT_GE(sorted.front(), 0);
  EXPECT_LT(sorted.back(), 40);
}

struct Sizes {
  std::int64_t batch, tokens, experts, count, width;
};
const std::vector<Sizes> all_sizes = {
    {2, 9, 3, 4, 5}, {1, 16, 4, 16, 64}, {3, 8, 2, 1, 130}, {2, 6, 3, 0, 7}};

TEST(GatherChosen, Values) {
  for (const DType type : {DType::f64, DType::f32, DType::bf16}) {
    for (const Sizes& s : all_sizes) {
      const Tensor x = random_tensor({s.batch, s.tokens, s.width}, type, 1);
      const Tensor chosen =
          ops::choose_tokens(random_tensor({s.batch, s.tokens, s.experts}, type, 2), s.count);
      const Variable y = ops::gather_chosen(Variable(x), chosen);
      EXPECT_EQ(y.shape(), (Shape{s.experts, s.batch * s.count, s.width}));
      EXPECT_EQ(y.dtype(), type);
      const std::vector<double> from = to_doubles(x);
      const std::vector<double> to = to_doubles(y.value());
      const std::vector<std::int32_t> index = chosen.to_host<std::int32_t>();
      for (std::size_t row = 0; row < index.size(); ++row) {
        const auto count = static_cast<std::size_t>(s.count);
        const auto width = static_cast<std::size_t>(s.width);
        const std::size_t b = row / count % static_cast<std::size_t>(s.batch);
        const std::size_t t = b * static_cast<std::size_t>(s.tokens) + static_cast<std::size_t>(index[row]);
        for (std::size_t j = 0; j < width; ++j) ASSERT_EQ(to[row * width + j], from[t * width + j]);
      }
    }
  }
}

TEST(ScatterChosen, Values) {
  for (const DType type : {DType::f64, DType::f32, DType::bf16}) {
    for (const DType router : {type, DType::f32}) {
      for (const Sizes& s : all_sizes) {
        const Tensor p = random_tensor({s.batch, s.tokens, s.experts}, router, 1, 0, 1);
        const Tensor outputs = random_tensor({s.experts, s.batch * s.count, s.width}, type, 2);
        const Tensor chosen = ops::choose_tokens(p, s.count);
        const Variable y = ops::scatter_chosen(Variable(outputs), Variable(p), chosen);
        EXPECT_EQ(y.shape(), (Shape{s.batch, s.tokens, s.width}));
        EXPECT_EQ(y.dtype(), type);
        std::vector<double> expected(static_cast<std::size_t>(s.batch * s.tokens * s.width), 0.0);
        const std::vector<double> rows = to_doubles(outputs);
        const std::vector<double> weights = to_doubles(p);
        const std::vector<std::int32_t> index = chosen.to_host<std::int32_t>();
        for (std::int64_t e = 0; e < s.experts; ++e) {
          for (std::int64_t b = 0; b < s.batch; ++b) {
            for (std::int64_t i = 0; i < s.count; ++i) {
              const std::int64_t row = (e * s.batch + b) * s.count + i;
              const std::int64_t token = b * s.tokens + index[static_cast<std::size_t>(row)];
              for (std::int64_t j = 0; j < s.width; ++j) {
                expected[static_cast<std::size_t>(token * s.width + j)] +=
                    weights[static_cast<std::size_t>(token * s.experts + e)] *
                    rows[static_cast<std::size_t>(row * s.width + j)];
              }
            }
          }
        }
        const double tolerance = type == DType::bf16                    ? 4e-3
                                 : type == DType::f64 && router == type ? 1e-15
                                                                        : 1e-6;
        test::expect_near(to_doubles(y.value()), expected, tolerance);
      }
    }
  }
}

TEST(ScatterChosen, UnchosenTokensGetExactlyZero) {
  const Tensor p = random_tensor({1, 10, 2}, DType::f32, 1, 0, 1);
  const Tensor chosen = Tensor::from_host<std::int32_t>({3, 4, 4, 7}, {2, 1, 2});
  const Tensor outputs = random_tensor({2, 2, 5}, DType::f32, 2, 1, 2);
  const std::vector<double> y =
      to_doubles(ops::scatter_chosen(Variable(outputs), Variable(p), chosen).value());
  for (std::size_t t = 0; t < 10; ++t) {
    for (std::size_t j = 0; j < 5; ++j) EXPECT_EQ(y[t * 5 + j] != 0.0, t == 3 || t == 4 || t == 7);
  }
}

TEST(Experts, GradientsOfGatherAndScatter) {
  for (const Sizes& s : all_sizes) {
    const Tensor p = random_tensor({s.batch, s.tokens, s.experts}, DType::f64, 1, 0, 1);
    const Tensor chosen = ops::choose_tokens(p, s.count);
    test::expect_gradients([&](const std::vector<Variable>& in) { return ops::gather_chosen(in[0], chosen); },
                           {random_tensor({s.batch, s.tokens, s.width}, DType::f64, 2)});
    test::expect_gradients(
        [&](const std::vector<Variable>& in) { return ops::scatter_chosen(in[0], in[1], chosen); },
        {random_tensor({s.experts, s.batch * s.count, s.width}, DType::f64, 3), p});
    // x reaches the result through the experts, and the probabilities weight what it passes.
    test::expect_gradients(
        [&](const std::vector<Variable>& in) {
          return ops::scatter_chosen(ops::gather_chosen(in[0], chosen), in[1], chosen);
        },
        {random_tensor({s.batch, s.tokens, s.width}, DType::f64, 2), p});
  }
}

TEST(Experts, GradientsOfARoutedLayer) {
  const Tensor x = random_tensor({2, 12, 6}, DType::f64, 1);
  const Tensor router = random_tensor({3, 6}, DType::f64, 2, -3, 3);
  const Tensor weight = random_tensor({3, 6, 6}, DType::f64, 3);
  const Tensor chosen =
      ops::choose_tokens(ops::softmax(ops::linear(Variable(x), Variable(router), Variable())).value(), 5);
  test::expect_gradients(
      [&](const std::vector<Variable>& in) {
        const Variable p = ops::softmax(ops::linear(in[0], in[1], Variable()));
        return ops::scatter_chosen(ops::grouped_linear(ops::gather_chosen(in[0], chosen), in[2]), p, chosen);
      },
      {x, router, weight});
}

TEST(Experts, Bfloat16GradientsWithFloat32Router) {
  const Sizes s{2, 16, 4, 6, 70};
  const Tensor p = random_tensor({s.batch, s.tokens, s.experts}, DType::f32, 1, 0, 1);
  const Tensor chosen = ops::choose_tokens(p, s.count);
  const Tensor x = random_tensor({s.batch, s.tokens, s.width}, DType::bf16, 2);
  const auto run = [&](DType type, DType router) {
    const Variable xv = Variable::leaf(
        ops::Variable(x).dtype() == type ? x : [&] { return Tensor::from_host(to_doubles(x), x.shape()); }());
    const Variable pv =
        Variable::leaf(router == DType::f32 ? p : Tensor::from_host(to_doubles(p), p.shape()));
    ops::backward(ops::scatter_chosen(ops::gather_chosen(xv, chosen), pv, chosen),
                  type == DType::bf16
                      ? random_tensor(x.shape(), DType::bf16, 3)
                      : Tensor::from_host(to_doubles(random_tensor(x.shape(), DType::bf16, 3)), x.shape()));
    EXPECT_EQ(xv.gradient().dtype(), type);
    EXPECT_EQ(pv.gradient().dtype(), router);
    return std::pair(to_doubles(xv.gradient()), to_doubles(pv.gradient()));
  };
  const auto exact = run(DType::f64, DType::f64);
  const auto actual = run(DType::bf16, DType::f32);
  test::expect_near(actual.first, exact.first, 8e-3);
  test::expect_near(actual.second, exact.second, 1e-6);
}

TEST(Experts, RunOnShapesAlone) {
  const MetaScope scope;
  const Variable x = Variable::leaf(Tensor::empty({2, 64, 32}, DType::bf16));
  const Variable p = Variable::leaf(Tensor::empty({2, 64, 8}, DType::f32));
  const Tensor chosen = ops::choose_tokens(p.value(), 16);
  EXPECT_TRUE(chosen.is_meta());
  const Variable y = ops::scatter_chosen(ops::gather_chosen(x, chosen), p, chosen);
  EXPECT_EQ(y.shape(), x.shape());
  ops::backward(y, Tensor::empty(y.shape(), y.dtype()));
  EXPECT_TRUE(x.gradient().is_meta());
  EXPECT_TRUE(p.gradient().is_meta());
}

TEST(Experts, RefuseWhatDoesNotFit) {
  const Tensor p = Tensor::zeros({2, 8, 3}, DType::f32);
  EXPECT_THROW((void)ops::choose_tokens(p, 9), Error);
  EXPECT_THROW((void)ops::choose_tokens(p, -1), Error);
  EXPECT_THROW((void)ops::choose_tokens(p.view({16, 3}), 1), Error);
  const Tensor chosen = ops::choose_tokens(p, 4);
  const Variable x(Tensor::zeros({2, 8, 5}, DType::f32));
  EXPECT_THROW((void)ops::gather_chosen(Variable(Tensor::zeros({3, 8, 5}, DType::f32)), chosen), Error);
  EXPECT_THROW((void)ops::gather_chosen(x, p), Error);
  const Variable outputs(Tensor::zeros({3, 8, 5}, DType::f32));
  EXPECT_NO_THROW((void)ops::scatter_chosen(outputs, Variable(p), chosen));
  EXPECT_THROW((void)ops::scatter_chosen(x, Variable(p), chosen), Error);
  EXPECT_THROW((void)ops::scatter_chosen(outputs, Variable(p.view({2, 12, 2})), chosen), Error);
}

}  // namespace
}  // namespace tessera
