#pragma once
// Invariant: every index is worked on once, or, after an error, not begun; the first error is thrown when all
// threads have ended.

#include <cstddef>
#include <functional>

namespace tessera::datasets {

/// Calls work(i) for each i in [begin, end), by `threads` threads, this one among them.
void for_each_index(std::size_t begin, std::size_t end, unsigned threads,
                    const std::function<void(std::size_t)>& work);

}  // namespace tessera::datasets
