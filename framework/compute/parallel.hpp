#pragma once
// Invariant: every kernel runs in the current execution space instance, with an unsigned 64-bit index: with
// a 32-bit index g++ does not vectorise Kokkos' loop and the kernel runs five times slower.

#include <cstddef>
#include <cstdint>

#include "tensor/space.hpp"
#include "tensor/tensor.hpp"

namespace tessera {

/// The execution space instance (a stream on a GPU) that this thread's operations use.
[[nodiscard]] const ExecutionSpace& current_execution_space();
void set_current_execution_space(const ExecutionSpace& space);
/// Lets go of this thread's instance: none may outlive Kokkos.
void release_current_execution_space();

using ElementPolicy = Kokkos::RangePolicy<ExecutionSpace, Kokkos::IndexType<std::size_t>>;

/// body(i) for i in [0, count), in any order.
template <class Body>
void parallel_elements(std::int64_t count, const Body& body) {
  Kokkos::parallel_for(ElementPolicy(current_execution_space(), 0, static_cast<std::size_t>(count)), body);
}

/// body(row) for row in [0, rows): for bodies with an inner loop over the row's elements, written on raw
/// pointers so that it vectorises.
template <class Body>
void parallel_rows(std::int64_t rows, const Body& body) {
  parallel_elements(rows, body);
}

}  // namespace tessera
