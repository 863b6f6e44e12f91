// The attention operations against plain loops, finite differences and each other.
#include "ops/attention.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "base/error.hpp"
#include "compute/cost.hpp"
#include "ops/accumulate.hpp"
#include "unit/ops/gradient_check.hpp"

namespace tessera::ops {
namespace {

using test::random_tensor;
using test::to_doubles;

AttentionOptions options(std::int64_t heads, bool normalise, bool each_head = false) {
  return {heads, normalise, 1e-6, each_head};
}

// q [B, N, w], k and v [B, M, w] -> [B, N, w], written as the formula reads.
std::vector<double> plain_attention(std::vector<double> q, std::vector<double> k,
                                    const std::vector<double>& v, std::size_t batch, std::size_t tokens,
                                    std::size_t context, std::size_t heads, std::size_t width, bool normalise,
                                    bool each_head = false) {
  const std::size_t group = each_head ? width / heads : width;
  const auto norm = [group](std::vector<double>& x) {
    for (std::size_t row = 0; row < x.size(); row += group) {
      double mean = 0, variance = 0;
      for (std::size_t i = 0; i < group; ++i) mean += x[row + i] / static_cast<double>(group);
      for (std::size_t i = 0; i < group; ++i) {
        variance += (x[row + i] - mean) * (x[row + i] - mean) / static_cast<double>(group);
      }
      for (std::size_t i = 0; i < group; ++i) x[row + i] = (x[row + i] - mean) / std::sqrt(variance + 1e-6);
    }
  };
  if (normalise) {
    norm(q);
    norm(k);
  }
  const std::size_t d = width / heads;
  std::vector<double> out(q.size(), 0);
  for (std::size_t b = 0; b < batch; ++b) {
    for (std::size_t h = 0; h < heads; ++h) {
      for (std::size_t n = 0; n < tokens; ++n) {
        std::vector<double> p(context);
        double total = 0;
        for (std::size_t j = 0; j < context; ++j) {
          double score = 0;
          for (std::size_t i = 0; i < d; ++i) {
            score += q[(b * tokens + n) * width + h * d + i] * k[(b * context + j) * width + h * d + i];
          }
          total += p[j] = std::exp(score / std::sqrt(static_cast<double>(d)));
        }
        for (std::size_t j = 0; j < context; ++j) {
          for (std::size_t i = 0; i < d; ++i) {
            out[(b * tokens + n) * width + h * d + i] +=
                p[j] / total * v[(b * context + j) * width + h * d + i];
          }
        }
      }
    }
  }
  return out;
}

// Columns [begin, begin + width) of every row.
std::vector<double> columns(const Tensor& x, std::int64_t begin, std::int64_t width) {
  const std::vector<double> all = to_doubles(x);
  const std::int64_t stride = x.shape()[-1];
  std::vector<double> result;
  for (std::int64_t row = 0; row < x.numel() / stride; ++row) {
    for (std::int64_t i = 0; i < width; ++i) {
      result.push_back(all[static_cast<std::size_t>(row * stride + begin + i)]);
    }
  }
  return result;
}

struct Precision {
  DType type;
  double tolerance;
};
const Precision precisions[] = {{DType::f64, 1e-13}, {DType::f32, 5e-6}, {DType::bf16, 4e-2}};

TEST(SelfAttention, MatchesPlainLoops) {
  for (const auto& [type, tolerance] : precisions) {
    for (const bool normalise : {false, true}) {
      const Tensor qkv = random_tensor({3, 21, 3 * 48}, type, 1);
      const Variable y = self_attention(Variable(qkv), options(4, normalise));
      EXPECT_EQ(y.dtype(), type);
      test::expect_near(to_doubles(y.value()),
                        plain_attention(columns(qkv, 0, 48), columns(qkv, 48, 48), columns(qkv, 96, 48), 3,
                                        21, 21, 4, 48, normalise),
                        tolerance, name_of(type));
    }
  }
}

TEST(CrossAttention, MatchesPlainLoops) {
  for (const auto& [type, tolerance] : precisions) {
    for (const bool normalise : {false, true}) {
      const Tensor q = random_tensor({2, 10, 64}, type, 1), kv = random_tensor({2, 77, 128}, type, 2);
      const Variable y = cross_attention(Variable(q), Variable(kv), {}, options(2, normalise));
      test::expect_near(to_doubles(y.value()),
                        plain_attention(to_doubles(q), columns(kv, 0, 64), columns(kv, 64, 64), 2, 10, 77, 2,
                                        64, normalise),
                        tolerance, name_of(type));
    }
  }
}

TEST(CrossAttention, PackedContextsEqualOneImageAtATime) {
  const std::vector<std::int64_t> offsets{0, 5, 6, 83};
  for (const auto& [type, tolerance] : precisions) {
    for (const bool normalise : {false, true}) {
      const Tensor q = random_tensor({3, 10, 64}, type, 1), kv = random_tensor({83, 128}, type, 2);
      const std::vector<double> y =
          to_doubles(cross_attention(Variable(q), Variable(kv), offsets, options(2, normalise)).value());
      for (std::size_t b = 0; b < 3; ++b) {
        const std::int64_t count = offsets[b + 1] - offsets[b];
        const Tensor own = kv.slice(offsets[b], offsets[b + 1]);
        const auto image = static_cast<std::int64_t>(b);
        const std::vector<double> expected =
            plain_attention(to_doubles(q.slice(image, image + 1)), columns(own.view({1, count, 128}), 0, 64),
                            columns(own.view({1, count, 128}), 64, 64), 1, 10,
                            static_cast<std::size_t>(count), 2, 64, normalise);
        const auto first = y.begin() + static_cast<std::ptrdiff_t>(b * 640);
        test::expect_near({first, first + 640}, expected, tolerance, name_of(type));
      }
    }
  }
}

TEST(CrossAttention, GradientsOfPackedContextsMatchFiniteDifferences) {
  for (const bool normalise : {false, true}) {
    const test::Function f = [&](const std::vector<Variable>& x) {
      return cross_attention(x[0], x[1], {0, 4, 5, 11}, options(3, normalise));
    };
    test::expect_gradients(
        f, {random_tensor({3, 5, 24}, DType::f64, 4), random_tensor({11, 48}, DType::f64, 5)});
  }
}

TEST(Attention, EveryHeadMayBeNormalisedByItself) {
  for (const auto& [type, tolerance] : precisions) {
    const Tensor qkv = random_tensor({3, 21, 3 * 48}, type, 1);
    test::expect_near(to_doubles(self_attention(Variable(qkv), options(4, true, true)).value()),
                      plain_attention(columns(qkv, 0, 48), columns(qkv, 48, 48), columns(qkv, 96, 48), 3, 21,
                                      21, 4, 48, true, true),
                      tolerance, name_of(type));
    const Tensor q = random_tensor({2, 10, 64}, type, 1), kv = random_tensor({2, 77, 128}, type, 2);
    test::expect_near(
        to_doubles(cross_attention(Variable(q), Variable(kv), {}, options(2, true, true)).value()),
        plain_attention(to_doubles(q), columns(kv, 0, 64), columns(kv, 64, 64), 2, 10, 77, 2, 64, true, true),
        tolerance, name_of(type));
  }
  test::expect_gradients(
      [&](const std::vector<Variable>& x) { return self_attention(x[0], options(3, true, true)); },
      {random_tensor({2, 7, 3 * 24}, DType::f64, 3)});
  test::expect_gradients(
      [&](const std::vector<Variable>& x) {
        return cross_attention(x[0], x[1], {0, 4, 5, 11}, options(3, true, true));
      },
      {random_tensor({3, 5, 24}, DType::f64, 4), random_tensor({11, 48}, DType::f64, 5)});
}

TEST(CrossAttention, RefusesOffsetsThatDoNotFit) {
  const Variable q(random_tensor({2, 3, 16}, DType::f32, 1)), kv(random_tensor({6, 32}, DType::f32, 2));
  for (const std::vector<std::int64_t>& offsets :
       std::vector<std::vector<std::int64_t>>{{0, 6}, {0, 2, 5}, {1, 2, 6}, {0, 0, 6}, {0, 7, 6}}) {
    EXPECT_THROW((void)cross_attention(q, kv, offsets, options(2, false)), Error);
  }
}

TEST(SelfAttention, GradientsMatchFiniteDifferences) {
  for (const bool normalise : {false, true}) {
    const test::Function f = [&](const std::vector<Variable>& x) {
      return self_attention(x[0], options(2, normalise));
    };
    test::expect_gradients(f, {random_tensor({2, 7, 3 * 20}, DType::f64, 3)});
  }
}

TEST(CrossAttention, GradientsMatchFiniteDifferences) {
  for (const bool normalise : {false, true}) {
    const test::Function f = [&](const std::vector<Variable>& x) {
      return cross_attention(x[0], x[1], {}, options(3, normalise));
    };
    test::expect_gradients(
        f, {random_tensor({2, 5, 24}, DType::f64, 4), random_tensor({2, 11, 48}, DType::f64, 5)});
  }
}

TEST(CrossAttention, AContextUsedTwiceGetsBothGradients) {
  const test::Function f = [&](const std::vector<Variable>& x) {
    return cross_attention(cross_attention(x[0], x[1], {}, options(2, true)), x[1], {}, options(4, false));
  };
  test::expect_gradients(
      f, {random_tensor({1, 4, 16}, DType::f64, 9), random_tensor({1, 6, 32}, DType::f64, 10)});
}

TEST(CrossAttention, AConstantSideGetsNoGradient) {
  const Tensor q = random_tensor({1, 3, 16}, DType::f64, 1), kv = random_tensor({1, 4, 32}, DType::f64, 2);
  const test::Function queries = [&](const std::vector<Variable>& x) {
    return cross_attention(x[0], Variable(kv), {}, options(2, true));
  };
  test::expect_gradients(queries, {q});
  const test::Function context = [&](const std::vector<Variable>& x) {
    return cross_attention(Variable(q), x[0], {}, options(2, true));
  };
  test::expect_gradients(context, {kv});
}

TEST(SelfAttention, ShorterTypesHaveTheGradientsOfFloat64) {
  const Tensor rounded = random_tensor({2, 33, 3 * 64}, DType::bf16, 11);
  const Tensor seed = random_tensor({2, 33, 64}, DType::bf16, 12);
  const auto gradient = [&](DType type) {
    const Variable x = Variable::leaf(converted(rounded, type));
    backward(self_attention(x, options(2, true)), converted(seed, type));
    return to_doubles(x.gradient());
  };
  const std::vector<double> expected = gradient(DType::f64);
  test::expect_near(gradient(DType::f32), expected, 1e-5, "float32");
  test::expect_near(gradient(DType::bf16), expected, 3e-2, "bfloat16");
}

TEST(SelfAttention, MetaTensorsCostTheSame) {
  double flops[2];
  for (const bool meta : {false, true}) {
    const Shape shape{2, 6, 48};
    compute::CostScope cost;
    const Tensor x = meta ? Tensor::meta(shape, DType::f32) : random_tensor(shape, DType::f32, 1);
    const Variable y = [&] {
      if (!meta) return self_attention(Variable::leaf(x), options(2, true));
      const MetaScope scope;
      return self_attention(Variable::leaf(x), options(2, true));
    }();
    EXPECT_EQ(y.shape(), (Shape{2, 6, 16}));
    EXPECT_EQ(y.value().is_meta(), meta);
    flops[meta ? 1 : 0] = cost.cost().attention_flops;
  }
  EXPECT_EQ(flops[0], 4.0 * 2 * 2 * 6 * 6 * 8);
  EXPECT_EQ(flops[1], flops[0]);
}

TEST(Attention, RefusesShapesThatDoNotFit) {
  const Variable x(random_tensor({1, 4, 30}, DType::f32, 1));
  EXPECT_THROW((void)self_attention(x, options(3, false)), Error);
  EXPECT_THROW((void)self_attention(Variable(random_tensor({1, 4, 31}, DType::f32, 1)), options(1, false)),
               Error);
  EXPECT_THROW((void)self_attention(Variable(random_tensor({4, 30}, DType::f32, 1)), options(1, false)),
               Error);
  EXPECT_THROW((void)cross_attention(x, x, {}, options(1, false)), Error);
}

}  // namespace
}  // namespace tessera::ops
