#pragma once
// Invariant: channels of an image pass unchanged, forward and backward.

#include "ops/graph.hpp"

namespace tessera::ops {

/// Channels [first, first + count) of x [batch, channels, height, width].
[[nodiscard]] Variable channel_range(const Variable& x, std::int64_t first, std::int64_t count);

}  // namespace tessera::ops
