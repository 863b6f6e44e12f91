#include "compute/libraries.hpp"

#include <cblas.h>

#include <dnnl.hpp>

#include "compute/parallel.hpp"

namespace tessera::compute {
namespace {

const char* name_of(dnnl::cpu_isa isa) {
  switch (isa) {
    case dnnl::cpu_isa::sse41:
      return "SSE4.1";
    case dnnl::cpu_isa::avx:
      return "AVX";
    case dnnl::cpu_isa::avx2:
      return "AVX2";
    case dnnl::cpu_isa::avx2_vnni:
      return "AVX2 VNNI";
    case dnnl::cpu_isa::avx512_core:
      return "AVX-512";
    case dnnl::cpu_isa::avx512_core_vnni:
      return "AVX-512 VNNI";
    case dnnl::cpu_isa::avx512_core_bf16:
      return "AVX-512 BF16";
    case dnnl::cpu_isa::avx512_core_amx:
      return "AMX";
    default:
      return "another instruction set";
  }
}

}  // namespace

std::vector<std::pair<std::string, std::string>> libraries() {
  const dnnl::version_t* const version = dnnl::version();
  return {{"oneDNN", std::to_string(version->major) + "." + std::to_string(version->minor) + "." +
                         std::to_string(version->patch) + ", " + name_of(dnnl::get_effective_cpu_isa())},
          {"OpenBLAS", openblas_get_config()},
          {"Kokkos", std::to_string(KOKKOS_VERSION)}};
}

}  // namespace tessera::compute
