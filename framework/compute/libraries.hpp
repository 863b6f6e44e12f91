#pragma once
// Invariant: names everything outside this project that the bits of a result depend on.

#include <string>
#include <utility>
#include <vector>

namespace tessera::compute {

/// Name and version of each library that computes, with the instruction set that it chose on this machine.
[[nodiscard]] std::vector<std::pair<std::string, std::string>> libraries();

}  // namespace tessera::compute
