#pragma once
// Invariant: a draw depends on its key, its position in the global batch and its element number, and on
// nothing else: not on rank, thread, device, order of evaluation, compiler flags or any state. The bits are
// the same everywhere, normals included: only operations that IEEE 754 rounds exactly are used, every
// product that feeds a sum is an explicit fma, and no function ends in a floating-point product that a
// compiler could contract with the caller's arithmetic (-ffast-math alone is not survived).
//
// Generator: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011).
// Everything here but the functions at the end runs in kernels.

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "base/device_function.hpp"

namespace tessera {

/// What a draw is for. The numbers are part of the meaning of a seed: never change them, only append.
enum class Purpose : std::uint32_t {
  init = 0,
  data_order = 1,
  noise = 2,
  sigma = 3,
  mask = 4,
  caption_drop = 5,
  timestep = 6,
  sampling = 7,
  word_hash = 8,
  latent = 9,
  augment = 10,
  split = 11,
  test = 12,
  replacement = 13,
};

struct RandomKey {
  std::uint64_t seed = 0;
  Purpose purpose = Purpose::init;
  std::uint32_t stage = 0;
  std::uint32_t attempt = 0;  ///< raised by a roll-back, so that the repeated steps draw anew
  std::uint64_t step = 0;
};

struct PhiloxKey {
  std::uint32_t k0, k1;
};

struct PhiloxBlock {
  std::uint32_t word[4];
};

/// Ten rounds of Philox4x32 on the 128-bit counter (c0 lowest).
TESSERA_INLINE_FUNCTION PhiloxBlock philox(PhiloxKey key, std::uint32_t c0, std::uint32_t c1,
                                           std::uint32_t c2, std::uint32_t c3) {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t a = std::uint64_t{0xD2511F53U} * c0;
    const std::uint64_t b = std::uint64_t{0xCD9E8D57U} * c2;
    c0 = static_cast<std::uint32_t>(b >> 32) ^ c1 ^ key.k0;
    c1 = static_cast<std::uint32_t>(b);
    c2 = static_cast<std::uint32_t>(a >> 32) ^ c3 ^ key.k1;
    c3 = static_cast<std::uint32_t>(a);
    key.k0 += 0x9E3779B9U;
    key.k1 += 0xBB67AE85U;
  }
  return {{c0, c1, c2, c3}};
}

/// A key collapsed to what the generator takes. Small enough to capture by value in a kernel.
struct RandomStream {
  PhiloxKey key{0, 0};

  RandomStream() = default;
  /// Philox itself is the hash: seed as its key, the other fields as counters of two chained calls.
  TESSERA_INLINE_FUNCTION RandomStream(const RandomKey& from) {  // NOLINT: a key is meant to convert
    const PhiloxKey seed{static_cast<std::uint32_t>(from.seed), static_cast<std::uint32_t>(from.seed >> 32)};
    const PhiloxBlock use =
        philox(seed, static_cast<std::uint32_t>(from.purpose), from.stage, from.attempt, 0x74657373U);
    const PhiloxBlock when = philox({use.word[0], use.word[1]}, static_cast<std::uint32_t>(from.step),
                                    static_cast<std::uint32_t>(from.step >> 32), use.word[2], use.word[3]);
    key = {when.word[0], when.word[1]};
  }
};

/// 32 random bits. Elements go to generator blocks in groups of 64 = 16 blocks x 4 words, such that the
/// blocks of a group can be computed side by side and stored in order (see fill_normal).
TESSERA_INLINE_FUNCTION std::uint32_t random_bits(const RandomStream& stream, std::uint64_t position,
                                                  std::uint64_t element) {
  const std::uint64_t block = (element >> 6) * 16 + (element & 15);
  const PhiloxBlock draw =
      philox(stream.key, static_cast<std::uint32_t>(block), static_cast<std::uint32_t>(block >> 32),
             static_cast<std::uint32_t>(position), static_cast<std::uint32_t>(position >> 32));
  const std::uint32_t low = (element & 16) ? draw.word[1] : draw.word[0];
  const std::uint32_t high = (element & 16) ? draw.word[3] : draw.word[2];
  return (element & 32) ? high : low;
}

/// 64 random bits, independent of random_bits of the same arguments. @param element  below 2^62.
TESSERA_INLINE_FUNCTION std::uint64_t random_bits64(const RandomStream& stream, std::uint64_t position,
                                                    std::uint64_t element) {
  const std::uint64_t block = (element >> 1) | 0x8000000000000000ULL;
  const PhiloxBlock draw =
      philox(stream.key, static_cast<std::uint32_t>(block), static_cast<std::uint32_t>(block >> 32),
             static_cast<std::uint32_t>(position), static_cast<std::uint32_t>(position >> 32));
  const std::uint32_t low = (element & 1) ? draw.word[2] : draw.word[0];
  const std::uint32_t high = (element & 1) ? draw.word[3] : draw.word[1];
  return (std::uint64_t{high} << 32) | low;
}

/// Uniform in [0, 1): a multiple of 2^-24.
TESSERA_INLINE_FUNCTION float uniform_from_bits(std::uint32_t bits) {
  return static_cast<float>(static_cast<std::int32_t>(bits >> 8)) * 0x1p-24F;
}

TESSERA_INLINE_FUNCTION float uniform01(const RandomStream& stream, std::uint64_t position,
                                        std::uint64_t element) {
  return uniform_from_bits(random_bits(stream, position, element));
}

/// Uniform in [0, 1): a multiple of 2^-53, from random_bits64.
TESSERA_INLINE_FUNCTION double uniform01_double(const RandomStream& stream, std::uint64_t position,
                                                std::uint64_t element) {
  return static_cast<double>(static_cast<std::int64_t>(random_bits64(stream, position, element) >> 11)) *
         0x1p-53;
}

namespace detail {

TESSERA_INLINE_FUNCTION float exact_sqrt(float x) {
#ifdef __CUDA_ARCH__
  return __fsqrt_rn(x);  // sqrtf is approximate under -prec-sqrt=false
#else
  return std::sqrt(x);
#endif
}

TESSERA_INLINE_FUNCTION std::uint32_t float_bits(float x) {
  std::uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}

TESSERA_INLINE_FUNCTION float bits_float(std::uint32_t bits) {
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

/// -log(y) for y in [2^-60, 1], absolute error below 1e-7 near 1, relative below 2e-7.
TESSERA_INLINE_FUNCTION float minus_log(float y) {
  // y = m 2^e with m in [sqrt(1/2), sqrt(2)), log m = t + t^2 q(t), t = m - 1
  const std::uint32_t bits = float_bits(y);
  const std::int32_t e = static_cast<std::int32_t>(bits - 0x3F3504F3U) >> 23;
  const float t = bits_float(bits - (static_cast<std::uint32_t>(e) << 23)) - 1.0F;
  float q = 0.087348409F;
  q = fmaf(q, t, -0.143075213F);
  q = fmaf(q, t, 0.149179742F);
  q = fmaf(q, t, -0.165705085F);
  q = fmaf(q, t, 0.199620724F);
  q = fmaf(q, t, -0.250017554F);
  q = fmaf(q, t, 0.333339512F);
  q = fmaf(q, t, -0.499999911F);
  return fmaf(-static_cast<float>(e), 0.693147181F, -fmaf(q * t, t, t));
}

}  // namespace detail

/// The standard normal quantile of (bits + 1/2) 2^-32: monotone in the signed sense, symmetric (~bits gives
/// exactly -x), |x| at most 6.34, relative error below 4e-7.
TESSERA_INLINE_FUNCTION float normal_from_bits(std::uint32_t bits) {
  // The lower tail p and the distance from the middle v = 1 - 2p are both taken from the integer, so that
  // neither loses digits. Then x = v R(w), w = -log(4 p (1-p)), with R smooth: our own minimax fit of degree
  // 16 in s = sqrt(w + 2.5), whose relative error is 3.2e-8 over all w that 32 bits can reach.
  const std::uint32_t upper = static_cast<std::uint32_t>(static_cast<std::int32_t>(bits) >> 31);
  const auto k = static_cast<std::int32_t>((bits ^ upper) & 0x7FFFFFFFU);
  const float p = fmaf(static_cast<float>(k), 0x1p-32F, 0x1p-33F);
  const float v = fmaf(static_cast<float>(0x7FFFFFFF - k), 0x1p-31F, 0x1p-32F);
  const float w = detail::minus_log(fmaf(-4.0F * p, p, 4.0F * p));
  const float s = detail::exact_sqrt(w + 2.5F) - 3.24F;
  float r = 4.6053874e-06F;
  r = fmaf(r, s, -2.20521702e-06F);
  r = fmaf(r, s, -6.32526353e-05F);
  r = fmaf(r, s, 5.61141387e-05F);
  r = fmaf(r, s, 0.000335980469F);
  r = fmaf(r, s, -0.000506652344F);
  r = fmaf(r, s, -0.000622667721F);
  r = fmaf(r, s, 0.0020327149F);
  r = fmaf(r, s, -0.001557893F);
  r = fmaf(r, s, -0.00171607616F);
  r = fmaf(r, s, 0.00797270797F);
  r = fmaf(r, s, -0.0146393562F);
  r = fmaf(r, s, 0.0144280074F);
  r = fmaf(r, s, 0.00181196281F);
  r = fmaf(r, s, -0.0508743301F);
  r = fmaf(r, s, 1.6163801F);
  r = fmaf(r, s, 3.76324415F);
  // the sign goes on as a bit: the product above it can then not be contracted with the caller's next sum
  return detail::bits_float(detail::float_bits(v * r) | (~upper & 0x80000000U));
}

/// A standard normal. Runs without float64 hardware; float64 users convert it, so that every precision
/// trains on the same noise.
TESSERA_INLINE_FUNCTION float normal(const RandomStream& stream, std::uint64_t position,
                                     std::uint64_t element) {
  return normal_from_bits(random_bits(stream, position, element));
}

/// A whole number in [0, n), n at least 1, from random_bits64; the bias is below n 2^-64.
TESSERA_INLINE_FUNCTION std::uint64_t random_below(const RandomStream& stream, std::uint64_t position,
                                                   std::uint64_t element, std::uint64_t n) {
  // upper half of the 128-bit product bits * n, from 32-bit halves
  const std::uint64_t bits = random_bits64(stream, position, element);
  const std::uint64_t bl = bits & 0xFFFFFFFFU, bh = bits >> 32, nl = n & 0xFFFFFFFFU, nh = n >> 32;
  const std::uint64_t middle = bh * nl + ((bl * nl) >> 32);
  return bh * nh + (middle >> 32) + ((bl * nh + (middle & 0xFFFFFFFFU)) >> 32);
}

/// out[i] = normal(stream, position, first + i), several times as fast as one call per element. Host only.
void fill_normal(const RandomStream& stream, std::uint64_t position, std::uint64_t first, float* out,
                 std::size_t count);
/// The same for uniform01.
void fill_uniform01(const RandomStream& stream, std::uint64_t position, std::uint64_t first, float* out,
                    std::size_t count);

/// The numbers 0 .. count-1 in random order: sorted by (random_bits(stream, position, i), i), so that a tie
/// cannot fall differently elsewhere. @param count  at most 2^32.
[[nodiscard]] std::vector<std::uint32_t> random_order(const RandomStream& stream, std::uint64_t position,
                                                      std::size_t count);

}  // namespace tessera
