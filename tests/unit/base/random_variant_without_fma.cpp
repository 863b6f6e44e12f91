// normal_from_bits without the fma instruction: std::fma becomes a library call, and nothing can be
// contracted. The header is included under another namespace name, so that the linker cannot merge its
// functions with those of the other translation units.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "base/device_function.hpp"

#if defined(__GNUC__) && !defined(__clang__)
#if defined(__x86_64__)
#pragma GCC target("no-fma,no-avx512f")
#endif
#endif

#define tessera tessera_without_fma
#include "base/random.hpp"
#undef tessera

namespace tessera::random_variants {

float without_fma(std::uint32_t bits) { return tessera_without_fma::normal_from_bits(bits); }

}  // namespace tessera::random_variants
