#pragma once
// Invariant: private to comm/: the one place where MPI's names and error codes meet the project's. No other
// header includes mpi.h.

#include <mpi.h>

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "comm/communicator.hpp"

namespace tessera::comm {

/// @throws Error with MPI's own words when `code` is not MPI_SUCCESS.
void check(int code, const char* operation);

/// Slices as MPI wants them.
struct Counts {
  explicit Counts(const std::vector<Slice>& slices) {
    for (const Slice slice : slices) {
      if (slice.end > static_cast<std::size_t>(std::numeric_limits<int>::max())) {
        throw Error("an exchange of " + std::to_string(slice.end) + " elements is too large for MPI",
                    "exchange between ranks", "Exchange in smaller pieces.");
      }
      counts.push_back(static_cast<int>(slice.size()));
      offsets.push_back(static_cast<int>(slice.begin));
    }
  }
  std::vector<int> counts;
  std::vector<int> offsets;
};

class VirtualGroup;
struct VirtualCall;

struct PendingReduction::State {
  std::vector<MPI_Request> requests;
  std::vector<Counts> counts;  // MPI reads them to the end
  // Of virtual ranks, instead of both:
  std::shared_ptr<VirtualGroup> group;
  std::shared_ptr<VirtualCall> call;
  int member = 0;
};

struct Communicator::State {
  MPI_Comm world = MPI_COMM_NULL;  ///< the ranks of this communicator
  MPI_Comm node = MPI_COMM_NULL;   ///< those of them on this rank's node
  int rank = 0;
  int size = 1;
  int node_rank = 0;
  int node_size = 1;
  std::shared_ptr<VirtualGroup> virtual_world;  ///< set: these ranks are virtual, and MPI has no part in them
  std::shared_ptr<VirtualGroup> virtual_node;
  void set_node(MPI_Comm ranks) {
    node = ranks;
    MPI_Comm_rank(node, &node_rank);
    MPI_Comm_size(node, &node_size);
  }
  /// @throws Error when the ranks are virtual.
  void require_mpi(const char* operation) const {
    if (virtual_world == nullptr) return;
    throw Error(std::string("virtual ranks do not play ") + operation + ", which sharded training needs",
                "virtual ranks", "Set [run] shard = \"none\" there.");
  }
};

template <class T>
MPI_Datatype mpi_type();
template <>
inline MPI_Datatype mpi_type<float>() {
  return MPI_FLOAT;
}
template <>
inline MPI_Datatype mpi_type<double>() {
  return MPI_DOUBLE;
}
template <>
inline MPI_Datatype mpi_type<std::int64_t>() {
  return MPI_INT64_T;
}

/// Whether a PendingReduction was dropped unfinished. MPI cannot cancel one and may still write to its
/// buffer, which may be gone: such a process must end without entering MPI's progress loop again.
bool& reduction_abandoned();

}  // namespace tessera::comm
