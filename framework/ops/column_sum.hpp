#pragma once
// Invariant: the order of additions depends on the shape alone, so the same values always give the same sum.

#include "tensor/tensor.hpp"

namespace tessera::ops {

/// destination[j] = sum over rows i of source[i, j], or += when `accumulate`: the gradient of a vector that
/// was broadcast over rows. source [..., columns], destination [columns]; any floating types. Sums run in
/// float32 at least (float64 when either is).
void sum_columns(const Tensor& source, const Tensor& destination, bool accumulate);

}  // namespace tessera::ops
