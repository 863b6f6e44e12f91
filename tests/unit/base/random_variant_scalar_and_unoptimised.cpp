// normal_from_bits without optimisation.
// The header is included under another namespace name, so that the linker cannot merge its functions with
// those of the other translation units.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "base/device_function.hpp"

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O0")
#endif

#define tessera tessera_scalar_and_unoptimised
#include "base/random.hpp"
#undef tessera

namespace tessera::random_variants {

float scalar_and_unoptimised(std::uint32_t bits) {
  return tessera_scalar_and_unoptimised::normal_from_bits(bits);
}

}  // namespace tessera::random_variants
