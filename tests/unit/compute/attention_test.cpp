// Both implementations against plain loops in float64, on strided rows of every element type.
#include "compute/attention.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "compute/attention_kernels.hpp"
#include "compute/cost.hpp"
#include "unit/ops/gradient_check.hpp"

namespace tessera::compute {
namespace {

using test::random_tensor;
using test::to_doubles;

// One operand as [batch, count, stride] memory with the heads somewhere inside each row.
struct Operand {
  Tensor tensor;
  std::int64_t count;
  std::int64_t stride;
  std::int64_t offset;

  Operand(const AttentionShape& shape, std::int64_t tokens, std::int64_t margin, DType type,
          std::uint32_t seed, double size = 1)
      : count(tokens), stride(shape.heads * shape.head_dim + margin), offset(margin / 2) {
    tensor = random_tensor({shape.batch, tokens, stride}, type, seed, -size, size);
  }
  [[nodiscard]] Tokens tokens() const { return {&tensor, stride, offset}; }
  [[nodiscard]] std::size_t index(std::int64_t b, std::int64_t n, std::int64_t column) const {
    return static_cast<std::size_t>((b * count + n) * stride + offset + column);
  }
};

struct Expected {
  std::vector<double> out, lse, dq, dk, dv;  // operands as [batch, count, heads*head_dim]
};

Expected reference(const AttentionShape& s, const Operand& q, const Operand& k, const Operand& v,
                   const Operand& g) {
  const auto width = s.heads * s.head_dim;
  const auto flat = [&](std::int64_t b, std::int64_t count, std::int64_t n, std::int64_t h) {
    return static_cast<std::size_t>((b * count + n) * width + h * s.head_dim);
  };
  const std::vector<double> qs = to_doubles(q.tensor), ks = to_doubles(k.tensor), vs = to_doubles(v.tensor),
                            gs = to_doubles(g.tensor);
  Expected e;
  e.out.assign(static_cast<std::size_t>(s.batch * s.queries * width), 0);
  e.dq = e.out;
  e.dk.assign(static_cast<std::size_t>(s.batch * s.keys * width), 0);
  e.dv = e.dk;
  e.lse.assign(static_cast<std::size_t>(s.batch * s.heads * s.queries), 0);
  std::vector<double> p(static_cast<std::size_t>(s.keys));
  for (std::int64_t b = 0; b < s.batch; ++b) {
    for (std::int64_t h = 0; h < s.heads; ++h) {
      for (std::int64_t n = 0; n < s.queries; ++n) {
        double largest = -std::numeric_limits<double>::infinity();
        for (std::int64_t j = 0; j < s.keys; ++j) {
          double score = 0;
          for (std::int64_t d = 0; d < s.head_dim; ++d) {
            score += qs[q.index(b, n, h * s.head_dim + d)] * ks[k.index(b, j, h * s.head_dim + d)];
          }
          p[static_cast<std::size_t>(j)] = s.scale * score;
          largest = std::max(largest, s.scale * score);
        }
        double total = 0;
        for (double& value : p) total += value = std::exp(value - largest);
        for (double& value : p) value /= total;
        e.lse[static_cast<std::size_t>((b * s.heads + h) * s.queries + n)] = largest + std::log(total);
        double mean = 0;
        std::vector<double> dp(p.size(), 0);
        for (std::int64_t j = 0; j < s.keys; ++j) {
          const double weight = p[static_cast<std::size_t>(j)];
          for (std::int64_t d = 0; d < s.head_dim; ++d) {
            const std::int64_t column = h * s.head_dim + d;
            const double value = vs[v.index(b, j, column)];
            const double gradient = gs[g.index(b, n, column)];
            e.out[flat(b, s.queries, n, h) + static_cast<std::size_t>(d)] += weight * value;
            e.dv[flat(b, s.keys, j, h) + static_cast<std::size_t>(d)] += weight * gradient;
            dp[static_cast<std::size_t>(j)] += value * gradient;
          }
          mean += weight * dp[static_cast<std::size_t>(j)];
        }
        for (std::int64_t j = 0; j < s.keys; ++j) {
          const double factor =
              s.scale * p[static_cast<std::size_t>(j)] * (dp[static_cast<std::size_t>(j)] - mean);
          for (std::int64_t d = 0; d < s.head_dim; ++d) {
            const std::int64_t column = h * s.head_dim + d;
            e.dq[flat(b, s.queries, n, h) + static_cast<std::size_t>(d)] +=
                factor * ks[k.index(b, j, column)];
            e.dk[flat(b, s.keys, j, h) + static_cast<std::size_t>(d)] += factor * qs[q.index(b, n, column)];
          }
        }
      }
    }
  }
  return e;
}

// The heads of an operand as [batch, count, width]; the margins must still hold `margin_value`.
std::vector<double> heads_of(const AttentionShape& s, const Operand& operand,
                             const std::vector<double>& untouched) {
  const std::vector<double> all = to_doubles(operand.tensor);
  const std::int64_t width = s.heads * s.head_dim;
  std::vector<double> result;
  for (std::int64_t row = 0; row < s.batch * operand.count; ++row) {
    for (std::int64_t c = 0; c < operand.stride; ++c) {
      const auto at = static_cast<std::size_t>(row * operand.stride + c);
      if (c >= operand.offset && c < operand.offset + width) {
        result.push_back(all[at]);
      } else {
        EXPECT_EQ(all[at], untouched[at]) << "row " << row << " column " << c << " lies outside the heads";
      }
    }
  }
  return result;
}

struct Implementation {
  const char* name;
  decltype(&attention_forward) forward;
  decltype(&attention_backward) backward;
};
const Implementation implementations[] = {
    {"chosen", attention_forward, attention_backward},
    {"portable", portable::attention_forward, portable::attention_backward},
};

enum class Normalise { no, rows, heads };

// Statistics of an operand's rows, or of their heads, and the operand as they make it.
struct Norm {
  Tensor mean, rstd;
  Operand entering;
  bool each_head;

  Norm(const AttentionShape& shape, const Operand& operand, std::uint32_t seed, Normalise over)
      : entering(operand), each_head(over == Normalise::heads) {
    const DType type = operand.tensor.dtype();
    const DType statistics = type == DType::f64 ? DType::f64 : DType::f32;
    const std::int64_t groups = each_head ? shape.heads : 1;
    const Shape rows{shape.batch * operand.count * groups};
    mean = random_tensor(rows, statistics, seed);
    rstd = random_tensor(rows, statistics, seed + 1, 0.5, 1.5);
    const std::vector<double> means = to_doubles(mean), rstds = to_doubles(rstd);
    std::vector<double> values = to_doubles(operand.tensor);
    for (std::size_t i = 0; i < values.size(); ++i) {
      const std::int64_t row = static_cast<std::int64_t>(i) / operand.stride;
      const std::int64_t column = static_cast<std::int64_t>(i) % operand.stride - operand.offset;
      if (column < 0 || column >= shape.heads * shape.head_dim) continue;
      const auto at = static_cast<std::size_t>(row * groups + (each_head ? column / shape.head_dim : 0));
      values[i] = (values[i] - means[at]) * rstds[at];
    }
    entering.tensor = Tensor::from_host(values, operand.tensor.shape());
  }
  [[nodiscard]] Tokens tokens(const Operand& operand) const {
    return {&operand.tensor, operand.stride, operand.offset, &mean, &rstd, each_head};
  }
};

void check(const AttentionShape& s, DType type, double tolerance, double size = 1,
           Normalise over = Normalise::no) {
  const Operand q(s, s.queries, 5, type, 1, size), k(s, s.keys, 2 * s.heads * s.head_dim, type, 2, size),
      v(s, s.keys, 0, type, 3), g(s, s.queries, 1, type, 4);
  const Norm q_norm(s, q, 9, over), k_norm(s, k, 11, over);
  const bool normalise = over != Normalise::no;
  const Expected expected =
      normalise ? reference(s, q_norm.entering, k_norm.entering, v, g) : reference(s, q, k, v, g);
  const Tokens q_tokens = normalise ? q_norm.tokens(q) : q.tokens();
  const Tokens k_tokens = normalise ? k_norm.tokens(k) : k.tokens();
  for (const Implementation& run : implementations) {
    const std::string what = std::string(run.name) + " " + name_of(type) + " queries " +
                             std::to_string(s.queries) + " keys " + std::to_string(s.keys) + " head_dim " +
                             std::to_string(s.head_dim);
    SCOPED_TRACE(what);
    const Operand out(s, s.queries, 3, type, 5), dq(s, s.queries, 7, type, 6), dk(s, s.keys, 4, type, 7),
        dv(s, s.keys, 6, type, 8);
    const auto out_before = to_doubles(out.tensor), dq_before = to_doubles(dq.tensor),
               dk_before = to_doubles(dk.tensor), dv_before = to_doubles(dv.tensor);
    const Tensor lse =
        Tensor::empty({s.batch, s.heads, s.queries}, type == DType::f64 ? DType::f64 : DType::f32);
    run.forward(s, q_tokens, k_tokens, v.tokens(), out.tokens(), lse);
    test::expect_near(heads_of(s, out, out_before), expected.out, tolerance, "out");
    test::expect_near(to_doubles(lse), expected.lse, tolerance, "log-sum-exp");
    run.backward(s, q_tokens, k_tokens, v.tokens(), out.tokens(), lse, g.tokens(), dq.tokens(), dk.tokens(),
                 dv.tokens());
    test::expect_near(heads_of(s, dq, dq_before), expected.dq, 2 * tolerance, "dq");
    test::expect_near(heads_of(s, dk, dk_before), expected.dk, 2 * tolerance, "dk");
    test::expect_near(heads_of(s, dv, dv_before), expected.dv, 2 * tolerance, "dv");
  }
}

AttentionShape make(std::int64_t batch, std::int64_t heads, std::int64_t queries, std::int64_t keys,
                    std::int64_t head_dim) {
  return {batch, heads, queries, keys, head_dim, 1 / std::sqrt(static_cast<double>(head_dim))};
}

const AttentionShape shapes[] = {make(2, 3, 4, 6, 8),      make(2, 2, 6, 4, 9),      make(1, 3, 64, 77, 32),
                                 make(1, 2, 77, 77, 64),   make(3, 1, 1, 1, 16),     make(1, 2, 33, 120, 72),
                                 make(1, 1, 256, 256, 32), make(1, 1, 70, 130, 128), make(2, 2, 120, 7, 40),
                                 make(1, 1, 9, 300, 100),  make(1, 1, 100, 1024, 64)};

TEST(Attention, Float64MatchesPlainLoops) {
  for (const AttentionShape& shape : shapes) check(shape, DType::f64, 1e-13);
}

TEST(Attention, Float32MatchesPlainLoops) {
  for (const AttentionShape& shape : shapes) check(shape, DType::f32, 3e-6);
}

TEST(Attention, Bfloat16MatchesPlainLoopsOnTheSameRoundedInputs) {
  for (const AttentionShape& shape : shapes) check(shape, DType::bf16, 1.2e-2);
}

TEST(Attention, NormalisesRowsThatComeWithStatistics) {
  for (const AttentionShape& shape : shapes) {
    for (const Normalise over : {Normalise::rows, Normalise::heads}) {
      check(shape, DType::f64, 1e-13, 1, over);
      check(shape, DType::f32, 5e-6, 1, over);
      check(shape, DType::bf16, 2.5e-2, 1, over);
    }
  }
}

TEST(Attention, PackedKeysEqualOneImageAtATime) {
  AttentionShape s = make(3, 2, 40, 140, 24);
  s.key_offsets = {0, 7, 8, 140};
  for (const DType type : {DType::f64, DType::f32, DType::bf16}) {
    const double tolerance = type == DType::f64 ? 1e-13 : type == DType::f32 ? 5e-6 : 2.5e-2;
    const std::int64_t width = s.heads * s.head_dim;
    const Tensor q = random_tensor({3, 40, width}, type, 1), g = random_tensor({3, 40, width}, type, 2),
                 kv = random_tensor({140, 2 * width}, type, 3);
    const DType sums = type == DType::f64 ? DType::f64 : DType::f32;
    for (const Implementation& run : implementations) {
      SCOPED_TRACE(std::string(run.name) + " " + name_of(type));
      const auto rows = [&](const Tensor& tensor, std::int64_t offset = 0) {
        return Tokens{&tensor, tensor.shape()[-1], offset};
      };
      const auto both = [&](const AttentionShape& shape, const Tensor& queries, const Tensor& keys,
                            const Tensor& gradient) {
        const Tensor out = Tensor::empty(queries.shape(), type), dq = Tensor::empty(queries.shape(), type),
                     dkv = Tensor::empty(keys.shape(), type),
                     lse = Tensor::empty({shape.batch, shape.heads, shape.queries}, sums);
        run.forward(shape, rows(queries), rows(keys), rows(keys, width), rows(out), lse);
        run.backward(shape, rows(queries), rows(keys), rows(keys, width), rows(out), lse, rows(gradient),
                     rows(dq), rows(dkv), rows(dkv, width));
        return std::vector<Tensor>{out, lse, dq, dkv};
      };
      const std::vector<Tensor> packed = both(s, q, kv, g);
      for (std::int64_t b = 0; b < 3; ++b) {
        const std::int64_t first = s.first_key(b), end = s.first_key(b + 1);
        const std::vector<Tensor> alone =
            both(make(1, 2, 40, end - first, 24), q.slice(b, b + 1), kv.slice(first, end), g.slice(b, b + 1));
        for (std::size_t i = 0; i < 4; ++i) {
          const Tensor part = i < 3 ? packed[i].slice(b, b + 1) : packed[i].slice(first, end);
          test::expect_near(to_doubles(part), to_doubles(alone[i]), tolerance, "result " + std::to_string(i));
        }
      }
    }
  }
}

TEST(Attention, EveryHeadDimensionAndRaggedCountsWork) {
  for (std::int64_t d = 8; d <= 128; d += 3) check(make(1, 2, 11 + d % 7, 5 + d, d), DType::f32, 3e-6);
  for (std::int64_t n = 1; n <= 50; ++n) check(make(1, 1, n, 51 - n, 24), DType::f32, 3e-6);
}

TEST(Attention, LargeScoresNeitherOverflowNorLoseTheLargest) {
  // Scores up to a few thousand: exp of any of them is infinite, of most differences zero. Float32 scores
  // of that size carry an absolute error of 1e-4, and so do the weights.
  AttentionShape shape = make(1, 2, 40, 90, 32);
  shape.scale = 1;
  check(shape, DType::f64, 1e-10, 20);
  check(shape, DType::f32, 2e-3, 20);
}

TEST(Attention, NotANumberStaysVisible) {
  const AttentionShape s = make(1, 1, 5, 9, 16);
  for (const DType type : {DType::f32, DType::f64}) {
    const Operand q(s, s.queries, 0, type, 1), k(s, s.keys, 0, type, 2), v(s, s.keys, 0, type, 3),
        out(s, s.queries, 0, type, 4);
    const Tensor lse = Tensor::empty({1, 1, 5}, type);
    dispatch_floating(
        type, [&]<class T>(T) { q.tensor.data<T>()[3] = T(std::numeric_limits<float>::quiet_NaN()); });
    attention_forward(s, q.tokens(), k.tokens(), v.tokens(), out.tokens(), lse);
    const std::vector<double> result = to_doubles(out.tensor);
    for (std::size_t d = 0; d < 16; ++d) EXPECT_TRUE(std::isnan(result[d])) << name_of(type) << d;
    for (std::size_t d = 16; d < result.size(); ++d)
      EXPECT_FALSE(std::isnan(result[d])) << name_of(type) << d;
  }
}

TEST(Attention, CountsItsWorkWithAndWithoutMemory) {
  const AttentionShape s = make(2, 3, 8, 5, 16);
  for (const bool meta : {false, true}) {
    CostScope cost;
    const auto tensor = [&](const Shape& shape) {
      return meta ? Tensor::meta(shape, DType::f32) : Tensor::zeros(shape, DType::f32);
    };
    const Tensor q = tensor({2, 8, 48}), k = tensor({2, 5, 48}), out = tensor({2, 8, 48}),
                 lse = tensor({2, 3, 8});
    attention_forward(s, {&q, 48, 0}, {&k, 48, 0}, {&k, 48, 0}, {&out, 48, 0}, lse);
    EXPECT_EQ(cost.cost().attention_flops, 4.0 * 2 * 3 * 8 * 5 * 16);
  }
}

TEST(Attention, RefusesOperandsThatDoNotFit) {
  const AttentionShape s = make(1, 1, 4, 4, 8);
  const Tensor good = Tensor::zeros({1, 4, 8}, DType::f32), small = Tensor::zeros({1, 3, 8}, DType::f32),
               other = Tensor::zeros({1, 4, 8}, DType::f64), lse = Tensor::zeros({1, 1, 4}, DType::f32);
  const Tokens fits{&good, 8, 0};
  EXPECT_THROW(attention_forward(s, fits, {&small, 8, 0}, fits, fits, lse), Error);
  EXPECT_THROW(attention_forward(s, fits, fits, {&other, 8, 0}, fits, lse), Error);
  EXPECT_THROW(attention_forward(s, fits, fits, {&good, 8, 1}, fits, lse), Error);
  EXPECT_THROW(attention_forward(s, fits, fits, fits, fits, other), Error);
  EXPECT_THROW(attention_forward(s, {&good, 8, 0, &lse, nullptr}, fits, fits, fits, lse), Error);
  EXPECT_THROW(attention_forward(s, {&good, 8, 0, &lse, &good}, fits, fits, fits, lse), Error);
  const AttentionShape two = make(1, 2, 4, 4, 4);
  const Tensor two_lse = Tensor::zeros({1, 2, 4}, DType::f32);
  EXPECT_THROW(attention_forward(two, {&good, 8, 0, &lse, &lse, true}, fits, fits, fits, two_lse), Error);
  AttentionShape empty = s;
  empty.keys = 0;
  EXPECT_THROW(attention_forward(empty, fits, fits, fits, fits, lse), Error);
}

}  // namespace
}  // namespace tessera::compute
