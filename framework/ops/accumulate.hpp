#pragma once
// Invariant: a destination is either overwritten or added to, as its GradientSlot says; nothing else is read.

#include "tensor/tensor.hpp"

namespace tessera::ops {

/// destination = source, or destination += source, element by element, converting between floating types.
void add_into(const Tensor& source, const Tensor& destination, bool accumulate);

/// A copy of a floating tensor in another floating type; the tensor itself when the type is the same.
[[nodiscard]] Tensor converted(const Tensor& source, DType type);

}  // namespace tessera::ops
