#include "tensor/allocator.hpp"

#include <malloc.h>

#include <atomic>
#include <string>

#include "base/error.hpp"
#include "tensor/space.hpp"
#include "tensor/tensor.hpp"

namespace tessera {
namespace {

std::atomic<std::size_t> current_bytes{0};
std::atomic<std::size_t> peak_bytes{0};

void count(std::size_t bytes) {
  const std::size_t now = current_bytes.fetch_add(bytes) + bytes;
  std::size_t peak = peak_bytes.load();
  while (now > peak && !peak_bytes.compare_exchange_weak(peak, now)) {
  }
}

}  // namespace

std::shared_ptr<void> allocate_bytes(std::size_t bytes) {
  if (!Kokkos::is_initialized()) {
    throw Error("a tensor was given memory without a Runtime", {}, "this is a defect in the program");
  }
  void* memory = nullptr;
  try {
    memory = Kokkos::kokkos_malloc<MemorySpace>(bytes == 0 ? 1 : bytes);
  } catch (const std::exception& failure) {
    throw Error(
        "cannot allocate " + std::to_string(bytes >> 20) + " MiB for a tensor (" + failure.what() + ")", {},
        "lower the micro-batch, or switch recomputation on");
  }
  count(bytes);
  return {memory, [bytes](void* pointer) {
            Kokkos::kokkos_free<MemorySpace>(pointer);
            current_bytes.fetch_sub(bytes);
          }};
}

void keep_freed_memory() {
  mallopt(M_MMAP_MAX, 0);
  mallopt(M_TRIM_THRESHOLD, -1);
  mallopt(M_TOP_PAD, 64 << 20);
}

MemoryStatistics memory_statistics() { return {current_bytes.load(), peak_bytes.load()}; }
void reset_peak_memory() { peak_bytes.store(current_bytes.load()); }

}  // namespace tessera
