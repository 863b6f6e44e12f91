#pragma once
// Invariant: virtual ranks run what real ones would, up to the calls of MPI: each on a thread of its own, one
// at a time. A rank runs until a collective call makes it wait for another rank; then the next one that can
// go on does. So nothing races, a run is the same every time, and sums are added in rank order.
//
// A job of a thousand ranks in one process, to see that ranks agree: on the samples of a step, the sequence
// of reductions, the slices of the optimizer, the parts of a checkpoint. A call that does not fit what other
// ranks called (another operation, count, type or root), and a rank that waits for one that has ended, are
// Errors that name the ranks and both calls, where MPI would corrupt memory or hang.
//
// What waits outside of a Communicator's members waits for ever: CommonGradients, whose ranks pass turns in
// shared memory. Give the cluster several nodes; their ranks take the GradientReducer.

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "comm/communicator.hpp"

namespace tessera::comm {

struct VirtualCluster {
  int ranks = 1;
  int ranks_per_node = 1;  ///< the last node may have fewer
};

/// A collective call that all ranks of the cluster made.
struct CollectiveCall {
  std::string
      operation;  ///< "all_reduce", "start_all_reduce", "broadcast", "gather", "ordered_sum", "barrier"
  std::size_t count = 0;  ///< elements, bytes of a broadcast
  friend bool operator==(const CollectiveCall&, const CollectiveCall&) = default;
};

/// Runs `body` on every rank and returns when all have ended. Needs no Environment.
/// @return the calls of the world's communicator in their order; those of nodes are left out.
/// @throws what the first rank that failed threw.
std::vector<CollectiveCall> run_virtual_ranks(const VirtualCluster& cluster,
                                              const std::function<void(const Communicator& world)>& body);

}  // namespace tessera::comm
