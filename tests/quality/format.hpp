#pragma once
// Invariant: tables are made of lines of fewer than 256 characters.

#include <cstddef>
#include <string>

namespace tessera::quality {

/// printf into a string.
[[nodiscard, gnu::format(printf, 1, 2)]] std::string text(const char* format, ...);

/// 0 of nothing.
[[nodiscard]] double percent(std::size_t part, std::size_t whole);

}  // namespace tessera::quality
