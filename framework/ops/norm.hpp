#pragma once
// Invariant: mean and variance are taken over the last extent in at least float32, biased, and are the only
// values saved besides the input; the normalised values and the result are made again in backward.

#include "ops/graph.hpp"

namespace tessera::ops {

/// (x - mean) / sqrt(variance + eps) * gain; gain [width] may be undefined. The result has `result_type`.
[[nodiscard]] Variable layer_norm(const Variable& x, const Variable& gain, double eps, DType result_type);

/// layer_norm(x, gain) * (1 + scale[b]) + shift[b] for x [batch, tokens, width], where shift and scale are
/// rows `shift` and `scale` of modulation [batch, vectors, width] (adaptive layer norm, Peebles and Xie
/// 2023).
[[nodiscard]] Variable modulated_layer_norm(const Variable& x, const Variable& gain,
                                            const Variable& modulation, std::int64_t shift,
                                            std::int64_t scale, double eps, DType result_type);

}  // namespace tessera::ops
