#pragma once
// Invariant: the exponentials of a row are of differences to its maximum, so no finite input overflows; the
// arithmetic is at least float32 whatever the types. A NaN in a row makes the whole row NaN.

#include "ops/graph.hpp"

namespace tessera::ops {

/// softmax over the last extent; the result has x's shape and `result_type`, by default x's type.
[[nodiscard]] Variable softmax(const Variable& x);
[[nodiscard]] Variable softmax(const Variable& x, DType result_type);

}  // namespace tessera::ops
