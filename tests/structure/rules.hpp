#pragma once
// Invariant: what DESIGN says about folders is what these functions check, file by file, from the text alone.

#include <filesystem>
#include <string>
#include <vector>

namespace tessera::structure {

inline constexpr std::size_t most_lines = 500;
/// How the first line of a longer file begins, so that the reason stands where the length is noticed.
inline constexpr const char* reason_for_length = "// Over 500 lines because ";

/// Every breach of the rules in a source tree, as "file:line: what":
///  - framework/FOLDER includes only itself and the folders before it in the order of the core;
///  - plugins/NAME includes only framework headers and its own;
///  - datasets includes framework and datasets; launch, besides these, itself;
///  - what nvcc compiles in a CUDA build says so itself (kernel_sources.hpp);
///  - no source file has more than most_lines lines without saying why on its first.
/// @throws std::runtime_error when the tree has no framework folder: nothing would be checked.
[[nodiscard]] std::vector<std::string> breaches(const std::filesystem::path& root);

}  // namespace tessera::structure
