#pragma once
// Invariant: losses are per image, so that a batch may be split over ranks and micro-batches in any way and
// its gradient is still the sum over images weighted by 1/B.

#include "ops/graph.hpp"

namespace tessera::ops {

/// loss[b] = weight[b] * mean (prediction - target)^2 over the image's elements, [batch] in at least float32.
/// With `removed` [batch, tokens] (1 = token was masked out) the squared errors are averaged over channels
/// and patch x patch pixels and then over the kept tokens of the image only.
/// prediction, target [batch, channels, height, width]; weight [batch].
[[nodiscard]] Variable squared_error(const Variable& prediction, const Tensor& target, const Tensor& weight,
                                     const Tensor& removed, std::int64_t patch);

}  // namespace tessera::ops
