#pragma once
// Invariant: the answer is what this process's machine or container can still hand out before something is
// killed for it: shared memory that the kernel cannot back ends the process with SIGBUS or the machine's
// out-of-memory killer, long after the request was granted.

#include <cstddef>
#include <filesystem>

namespace tessera::comm {

/// Bytes: the kernel's MemAvailable, or what the process's control groups (version 1 or 2) leave, whichever
/// is less. Where neither can be read, the largest number: nothing is known against the request.
/// @param root where /proc and /sys hang; tests set it.
[[nodiscard]] std::size_t available_memory(const std::filesystem::path& root = "/");

}  // namespace tessera::comm
