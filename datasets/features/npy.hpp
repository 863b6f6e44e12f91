#pragma once
// Invariant: a file is read whole and is exactly what its header says, or it is refused.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace tessera::datasets::features {

/// An array of NumPy's format .npy, as float32.
struct NpyArray {
  std::vector<std::uint64_t> shape;
  std::vector<float> values;  ///< row-major
};

/// Format versions 1 to 3 (NumPy enhancement proposal 1); float16, float32 or float64, little-endian, in C
/// order. @throws Error naming the file and what is wrong: not such a file, another type or order, truncated
/// or longer than its header says.
[[nodiscard]] NpyArray read_npy(const std::string& path);
/// The same of bytes in memory. @param name  what errors call them.
[[nodiscard]] NpyArray parse_npy(std::string_view bytes, const std::string& name);

/// "4 x 32 x 32"
[[nodiscard]] std::string shape_text(const std::vector<std::uint64_t>& shape);

}  // namespace tessera::datasets::features
