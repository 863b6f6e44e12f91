#pragma once
// Invariant: a function marked TESSERA_INLINE_FUNCTION runs in kernels and on the host alike. It is what
// KOKKOS_INLINE_FUNCTION is, for headers that sources without kernels include too: Kokkos' own headers can be
// read by nvcc alone when Kokkos was built for CUDA.

#if defined(__CUDACC__) || defined(__HIPCC__)
#define TESSERA_INLINE_FUNCTION __host__ __device__ inline
#else
#define TESSERA_INLINE_FUNCTION inline
#endif
