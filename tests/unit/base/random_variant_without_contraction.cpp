// normal_from_bits with contraction of a*b+c forbidden (the default of g++ is to contract).
// The header is included under another namespace name, so that the linker cannot merge its functions with
// those of the other translation units.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "base/device_function.hpp"

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("fp-contract=off")
#endif

#define tessera tessera_without_contraction
#include "base/random.hpp"
#undef tessera

namespace tessera::random_variants {

float without_contraction(std::uint32_t bits) { return tessera_without_contraction::normal_from_bits(bits); }

}  // namespace tessera::random_variants
