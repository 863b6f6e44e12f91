#pragma once
// Invariant: a tensor that Tensor::empty makes inside a MetaScope counts, until its last copy is gone, with the
// bytes that it would hold: what a forward and backward pass on shapes alone would need in memory.

#include "tensor/tensor.hpp"

namespace tessera {

/// Of the whole process.
[[nodiscard]] MemoryStatistics meta_memory_statistics();
void reset_peak_meta_memory();

}  // namespace tessera
