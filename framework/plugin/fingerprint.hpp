#pragma once
// Invariant: two builds with equal fingerprints may exchange C++ objects and Kokkos views.

#define TESSERA_STRING_OF_(x) #x
#define TESSERA_STRING_OF(x) TESSERA_STRING_OF_(x)

#if defined(__clang__)
#define TESSERA_COMPILER "clang-" TESSERA_STRING_OF(__clang_major__)
#else
#define TESSERA_COMPILER "gcc-" TESSERA_STRING_OF(__GNUC__)
#endif

#if defined(__AVX512F__)
#define TESSERA_INSTRUCTION_SET "avx512"
#elif defined(__AVX2__)
#define TESSERA_INSTRUCTION_SET "avx2"
#else
#define TESSERA_INSTRUCTION_SET "baseline"
#endif

namespace tessera {

inline const char* build_fingerprint() {
  return TESSERA_COMPILER " kokkos-" TESSERA_STRING_OF(TESSERA_KOKKOS_VERSION) " " TESSERA_SPACE
                                                                               " " TESSERA_INSTRUCTION_SET;
}

}  // namespace tessera
