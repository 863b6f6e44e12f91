# Flags that every target of the project shares, as the interface target tessera_flags.
if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release)
endif()
set(CMAKE_CXX_FLAGS_RELEASE "-O3 -DNDEBUG")  # at -O2 g++ leaves most kernels scalar

add_library(tessera_flags INTERFACE)
target_compile_options(tessera_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Werror
  # errno and floating-point traps are never inspected; both block vectorisation of sqrt and selects
  -fno-math-errno -fno-trapping-math
  # honours the "omp simd" pragmas of inner loops; no OpenMP runtime is involved
  -fopenmp-simd)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  target_compile_options(tessera_flags INTERFACE -Wno-restrict)  # false for "literal" + std::string&&
endif()
if(TESSERA_NATIVE)
  # 512-bit vectors where the machine has them: the elementwise kernels are bound by arithmetic in cache
  target_compile_options(tessera_flags INTERFACE -march=native)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    target_compile_options(tessera_flags INTERFACE -mprefer-vector-width=512)
    # g++ 12 makes wrong constants for AVX-512 where it stores them 32 or 64 bytes at a time: {0.5, 0.5, 0, 0}
    # became {0.5, 0.5, 0.5, 0.5}.
    include(CheckCXXCompilerFlag)
    check_cxx_compiler_flag("-mmove-max=128 -mstore-max=128" TESSERA_HAS_MOVE_MAX)
    if(TESSERA_HAS_MOVE_MAX)
      target_compile_options(tessera_flags INTERFACE -mmove-max=128 -mstore-max=128)
    endif()
  endif()
endif()
if(TESSERA_SANITIZE)
  target_compile_options(tessera_flags INTERFACE -fsanitize=${TESSERA_SANITIZE} -fno-sanitize-recover=all
    -fno-omit-frame-pointer)
  target_link_options(tessera_flags INTERFACE -fsanitize=${TESSERA_SANITIZE})
endif()
