#pragma once
// Invariant: float16 is a storage format only (IEEE 754 binary16: 5 exponent bits, 10 mantissa bits); the
// bits travel as uint16, rounding is to nearest with ties to even, and the results are the same with and
// without the processor's conversion instructions.

#include <cstddef>
#include <cstdint>

namespace tessera::data {

[[nodiscard]] std::uint16_t half_from_float(float value);
[[nodiscard]] float float_from_half(std::uint16_t bits);

void half_from_float(const float* from, std::uint16_t* to, std::size_t count);
void float_from_half(const std::uint16_t* from, float* to, std::size_t count);

/// False when any value is NaN or infinite.
[[nodiscard]] bool all_finite(const std::uint16_t* halves, std::size_t count);
[[nodiscard]] bool all_finite(const float* values, std::size_t count);

}  // namespace tessera::data
