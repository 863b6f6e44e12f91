#pragma once
// Invariant: an arena is flat, zeroed, page-aligned memory whose pages exist when the constructor returns
// (shared placements), so that a machine that is too small says so there and never by SIGBUS later. The pages
// vanish with the last process that maps them, however it ends: nothing stays behind in /dev/shm, and
// /dev/shm's size, 64 MB in many containers, is no limit.
//
// Parameters, optimizer state, averages and, where all ranks are on one node, gradients live once per node
// (Placement::shared; DESIGN 3). An arena may have memory for a part of its bytes only: whoever keeps a share
// of something keeps it at the place that it has in the whole. Writers of shared memory and readers on other
// ranks are kept apart by Communicator::barrier().

#include <cstddef>
#include <memory>
#include <vector>

#include "comm/communicator.hpp"
#include "comm/slice.hpp"
#include "tensor/tensor.hpp"

namespace tessera::comm {

enum class Placement : std::uint8_t {
  private_memory,  ///< this rank's own
  shared,          ///< one for all ranks of the node
};

/// Copies share the memory.
class SharedArena {
 public:
  /// Whether the ranks of each node can map each other's memory; false for example when every rank has a
  /// container with process numbers of its own. Collective.
  [[nodiscard]] static bool supported(const Communicator& world);

  /// Collective, except for private_memory. `bytes` is the same on all ranks.
  /// @throws Error, on all ranks alike, naming the bytes needed and available on the node that is too small.
  SharedArena(const Communicator& world, std::size_t bytes, Placement placement);
  /// The same with memory for the bytes `held` alone, rounded to pages; touching others ends the process.
  /// @param held  in order; the same on all ranks of the node where the placement is shared
  SharedArena(const Communicator& world, std::size_t bytes, Placement placement,
              const std::vector<Slice>& held);

  [[nodiscard]] Placement placement() const { return placement_; }
  /// From its first byte to its last, whether or not there is memory for all between.
  [[nodiscard]] std::size_t bytes() const { return bytes_; }
  /// That there is memory for.
  [[nodiscard]] std::size_t held_bytes() const { return held_bytes_; }
  [[nodiscard]] std::byte* data() const { return static_cast<std::byte*>(owner_.get()); }
  /// Keeps the memory mapped, for tensors that view it.
  [[nodiscard]] const std::shared_ptr<void>& owner() const { return owner_; }

 private:
  Placement placement_;
  std::size_t bytes_;
  std::size_t held_bytes_ = 0;
  std::shared_ptr<void> owner_;
};

/// [elements] of zeros in an arena of their own that all ranks of the node share. Collective.
/// @throws Error as the arena's constructor does.
[[nodiscard]] Tensor shared_tensor(const Communicator& world, std::int64_t elements, DType type);

}  // namespace tessera::comm
