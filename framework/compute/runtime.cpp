#include "compute/runtime.hpp"

#include "base/error.hpp"
#include "compute/parallel.hpp"

namespace tessera {
namespace {

/// Kokkos itself ends the process when there is no device.
void expect_device() {
#ifdef KOKKOS_ENABLE_CUDA
  int devices = 0;
  const cudaError_t status = cudaGetDeviceCount(&devices);
  if (status == cudaSuccess && devices > 0) return;
  const std::string reason =
      status == cudaSuccess ? "" : std::string(" (CUDA: ") + cudaGetErrorString(status) + ")";
  throw Error(
      "no GPU was found" + reason, {},
      "this build computes on NVIDIA GPUs: run it where there is one with its driver, or use a build of "
      "the preset 'host', which computes on CPUs");
#endif
}

}  // namespace

Runtime::Runtime() {
  expect_device();
  Kokkos::initialize();
}

Runtime::~Runtime() {
  release_current_execution_space();
  Kokkos::finalize();
}

}  // namespace tessera
