#pragma once
// Invariant: memory from allocate_bytes is at least 64-byte aligned (a cache line and an AVX-512 vector),
// lies in MemorySpace, and is counted in memory_statistics() until its last owner lets go.

#include <cstddef>
#include <memory>

namespace tessera {

/// @throws Error when the memory is not to be had, or no Runtime (compute/runtime.hpp) lives.
[[nodiscard]] std::shared_ptr<void> allocate_bytes(std::size_t bytes);

/// Tells the C library to keep freed memory instead of returning it to the system: a training step frees and
/// takes the same blocks again, and fresh pages cost more than the arithmetic on them. Call once at start.
void keep_freed_memory();

}  // namespace tessera
