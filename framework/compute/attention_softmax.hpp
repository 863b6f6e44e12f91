#pragma once
// Invariant: the weights of a query are powers of (score - largest score so far), so none exceeds 1 and the
// largest is 1. For host sources only.

#include "compute/attention_tiles.hpp"

namespace tessera::compute {

/// Softmax works on powers of a base, 2 where the processor has no exponential: scores are multiplied by
/// `scale` = 1/ln(base) first.
template <class T>
struct Power;

/// 2^x, |relative error| < 2e-7, for x <= 127; results below 2^-126 become 2^-126, in effect zero beside the
/// 1 that every softmax row holds. NaN stays NaN.
template <>
struct Power<float> {
  static constexpr double scale = 1.44269504088896340736;

  TESSERA_INLINE static Vector<float> of(Vector<float> x) {
    x = larger(Vector<float>{} - 126.0F, x);
    const Vector<float> shifted = x + 12582912.0F;  // 1.5 * 2^23: rounds to an integer
    const Vector<float> r = x - (shifted - 12582912.0F);
    // The polynomial with p(0) = 1 and the least relative error, 9.2e-8, on |r| <= 1/2.
    Vector<float> p = Vector<float>{} + 1.3264727247e-3F;
    p = p * r + 9.6715126881e-3F;
    p = p * r + 5.5507337436e-2F;
    p = p * r + 2.4022242085e-1F;
    p = p * r + 6.9314697760e-1F;
    p = p * r + 1.0F;
    return cast<float>(cast<std::int32_t>(p) + (cast<std::int32_t>(shifted) << 23));
  }

  /// log2(x) for positive normal x, |error| < 3e-7 (1 + |log2(x)|): x = 2^n m with m near 1, then the series
  /// of log((1+s)/(1-s)) in s = (m-1)/(m+1).
  TESSERA_INLINE static Vector<float> log(Vector<float> x) {
    const auto bits = cast<std::int32_t>(x);
    const Vector<std::int32_t> n = (bits - 0x3f3504f3) >> 23;  // m in [sqrt(1/2), sqrt(2))
    const auto m = cast<float>(bits - (n << 23));
    const Vector<float> s = (m - 1.0F) / (m + 1.0F);
    const Vector<float> s2 = s * s;
    Vector<float> p = Vector<float>{} + 0.32059889F;
    p = p * s2 + 0.41219858F;
    p = p * s2 + 0.57707802F;
    p = p * s2 + 0.96179669F;
    p = p * s2 + 2.88539008F;
    return __builtin_convertvector(n, Vector<float>) + p * s;
  }
};

template <>
struct Power<double> {
  static constexpr double scale = 1;

  TESSERA_INLINE static Vector<double> of(Vector<double> x) {
    for (std::size_t i = 0; i < lanes<double>; ++i) x[i] = std::exp(x[i]);
    return x;
  }
  TESSERA_INLINE static Vector<double> log(Vector<double> x) {
    for (std::size_t i = 0; i < lanes<double>; ++i) x[i] = std::log(x[i]);
    return x;
  }
};

/// Per query, over the keys so far: the largest scaled score, the sum of the weights relative to it, and the
/// factor by which the last block shrank what came before it.
template <class A>
struct Running {
  A* largest;
  A* total;
  A* shrink;
};

// Turns a block's scores into weights, where they lie; several columns at once, since each is a chain of
// dependent maxima.
template <std::size_t Columns, class U, class A>
TESSERA_INLINE void soften_columns(A* tile, std::size_t width, std::size_t block, A scale, std::size_t column,
                                   bool start, const Running<A>& running) {
  Vector<A> top[Columns];
  Vector<A> sum[Columns] = {};
  const auto score = [=](std::size_t j, std::size_t c) __attribute__((always_inline)) {
    return load(tile + j * width + column + c * lanes<A>);
  };
  for (std::size_t c = 0; c < Columns; ++c) top[c] = score(0, c);
  for (std::size_t j = 1; j < block; ++j) {
    for (std::size_t c = 0; c < Columns; ++c) top[c] = larger(score(j, c), top[c]);
  }
  for (std::size_t c = 0; c < Columns; ++c) {
    top[c] *= scale;
    if (!start) top[c] = larger(load(running.largest + column + c * lanes<A>), top[c]);
  }
  for (std::size_t j = 0; j < block; j += U::per) {
    for (std::size_t c = 0; c < Columns; ++c) {
      Vector<A> weights[U::per] = {};
      for (std::size_t i = 0; i < U::per; ++i) {
        if (j + i == block) break;
        weights[i] = Power<A>::of(score(j + i, c) * scale - top[c]);
        sum[c] += weights[i];
      }
      // A unit of several keys takes the place of its first, whose scores have been read.
      U::store_depth(tile + j / U::per * width + column + c * lanes<A>, weights);
    }
  }
  for (std::size_t c = 0; c < Columns; ++c) {
    const std::size_t at = column + c * lanes<A>;
    if (!start) {
      const Vector<A> factor = Power<A>::of(load(running.largest + at) - top[c]);
      store(running.shrink + at, factor);
      sum[c] += factor * load(running.total + at);
    }
    store(running.largest + at, top[c]);
    store(running.total + at, sum[c]);
  }
}

/// Scores [block][width] become weights, as a left operand with the keys as its depth, in the same memory.
template <class U, class A>
TESSERA_INLINE void soften(A* tile, std::size_t width, std::size_t block, A scale, bool start,
                           const Running<A>& running) {
  std::size_t column = 0;
  for (; column + 4 * lanes<A> <= width; column += 4 * lanes<A>) {
    soften_columns<4, U>(tile, width, block, scale, column, start, running);
  }
  for (; column < width; column += lanes<A>) {
    soften_columns<1, U>(tile, width, block, scale, column, start, running);
  }
}

}  // namespace tessera::compute
