#pragma once
// Invariant: a constant of the network's input; no gradient flows into it.

#include "tensor/tensor.hpp"

namespace tessera::ops {

/// Sinusoidal features of scalars: level [batch] -> [batch, width], the first half cos(level f_j), the second
/// sin(level f_j), with f_j = 10000^(-j/(width/2)) (Vaswani et al. 2017, cosines first as in DiT).
[[nodiscard]] Tensor sinusoid(const Tensor& level, std::int64_t width, DType result_type);

}  // namespace tessera::ops
