// What libFuzzer calls; TESSERA_FUZZ_TARGET is the name of the target that this program tries.

#include <cstddef>
#include <cstdint>

#include "targets.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  tessera::fuzz::TESSERA_FUZZ_TARGET({data, size});
  return 0;
}
