# Flags that every target of the project shares, as the interface target tessera_flags.
if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release)
endif()
set(CMAKE_CXX_FLAGS_RELEASE "-O3 -DNDEBUG")  # at -O2 g++ leaves most kernels scalar

add_library(tessera_flags INTERFACE)
# nvcc hands them to the same compiler for the host's part of a kernel's source.
function(tessera_add_flags)
  foreach(flag IN LISTS ARGN)
    target_compile_options(tessera_flags INTERFACE
      $<$<COMPILE_LANGUAGE:C,CXX>:${flag}> $<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=${flag}>)
  endforeach()
endfunction()
# What nvcc writes for that compiler is not pedantic C++; its own warnings are errors as well.
target_compile_options(tessera_flags INTERFACE
  $<$<COMPILE_LANGUAGE:C,CXX>:-Wpedantic> $<$<COMPILE_LANGUAGE:CUDA>:--Werror=all-warnings>)
tessera_add_flags(-Wall -Wextra -Wshadow -Wnon-virtual-dtor -Werror
  # errno and floating-point traps are never inspected; both block vectorisation of sqrt and selects
  -fno-math-errno -fno-trapping-math
  # honours the "omp simd" pragmas of inner loops; no OpenMP runtime is involved
  -fopenmp-simd)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  tessera_add_flags(-Wno-restrict)  # false for "literal" + std::string&&
endif()
if(TESSERA_NATIVE)
  # 512-bit vectors where the machine has them: the elementwise kernels are bound by arithmetic in cache
  tessera_add_flags(-march=native)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    tessera_add_flags(-mprefer-vector-width=512)
    # g++ 12 makes wrong constants for AVX-512 where it stores them 32 or 64 bytes at a time: {0.5, 0.5, 0, 0}
    # became {0.5, 0.5, 0.5, 0.5}.
    include(CheckCXXCompilerFlag)
    check_cxx_compiler_flag("-mmove-max=128 -mstore-max=128" TESSERA_HAS_MOVE_MAX)
    if(TESSERA_HAS_MOVE_MAX)
      tessera_add_flags(-mmove-max=128 -mstore-max=128)
    endif()
  endif()
endif()
if(TESSERA_SANITIZE)
  string(REPLACE "," "$<COMMA>" sanitizers "${TESSERA_SANITIZE}")
  tessera_add_flags(-fsanitize=${sanitizers} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(tessera_flags INTERFACE -fsanitize=${TESSERA_SANITIZE})
endif()
