#pragma once
// Invariant: the one header through which Kokkos enters. A source that needs it includes this header or
// compute/parallel.hpp by itself, not only through others: that is how a CUDA build knows what nvcc compiles
// (cmake/TesseraKokkos.cmake; structure_check holds the tree to it).

#if defined(TESSERA_CUDA) && !defined(__CUDACC__)
#error "nvcc must compile this source: configure again, and give its target tessera_compile_kernels()"
#endif

#include <Kokkos_Core.hpp>

static_assert(KOKKOS_VERSION == TESSERA_KOKKOS_VERSION,
              "this is not the Kokkos that the tessera library was built with");

namespace tessera {

/// Where kernels run, and where Tensor::empty takes its memory.
using ExecutionSpace = Kokkos::DefaultExecutionSpace;
using MemorySpace = ExecutionSpace::memory_space;

}  // namespace tessera
