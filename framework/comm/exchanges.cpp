// The exchanges of sharded training: every rank with every other, each pair its own part.

#include <memory>
#include <string>
#include <vector>

#include "comm/mpi_support.hpp"

namespace tessera::comm {
namespace {

MPI_Datatype type_of_bytes(std::size_t bytes) {
  switch (bytes) {
    case 1:
      return MPI_BYTE;
    case 2:
      return MPI_UINT16_T;
    case 4:
      return MPI_UINT32_T;
    case 8:
      return MPI_UINT64_T;
    default:
      throw Error("elements of " + std::to_string(bytes) + " bytes cannot be gathered");
  }
}

}  // namespace

template <class T>
PendingReduction Communicator::start_exchange(const T* sent, const std::vector<Slice>& to, T* received,
                                              const std::vector<Slice>& from) const {
  PendingReduction pending;
  if (state_->size == 1) return pending;
  state_->require_mpi("an exchange of parts");
  pending.state_ = std::make_unique<PendingReduction::State>();
  pending.state_->counts = {Counts(to), Counts(from)};
  const Counts& out = pending.state_->counts[0];
  const Counts& in = pending.state_->counts[1];
  MPI_Request& request = pending.state_->requests.emplace_back(MPI_REQUEST_NULL);
  check(MPI_Ialltoallv(sent, out.counts.data(), out.offsets.data(), mpi_type<T>(), received, in.counts.data(),
                       in.offsets.data(), mpi_type<T>(), state_->world, &request),
        "MPI_Ialltoallv");
  return pending;
}

PendingReduction Communicator::start_all_gather(std::byte* values, std::size_t element_bytes,
                                                const std::vector<Slice>& parts) const {
  PendingReduction pending;
  if (state_->size == 1) return pending;
  state_->require_mpi("an exchange of parts");
  pending.state_ = std::make_unique<PendingReduction::State>();
  pending.state_->counts = {Counts(parts)};
  const Counts& in = pending.state_->counts[0];
  MPI_Request& request = pending.state_->requests.emplace_back(MPI_REQUEST_NULL);
  check(MPI_Iallgatherv(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, values, in.counts.data(), in.offsets.data(),
                        type_of_bytes(element_bytes), state_->world, &request),
        "MPI_Iallgatherv");
  return pending;
}

template PendingReduction Communicator::start_exchange<float>(const float*, const std::vector<Slice>&, float*,
                                                              const std::vector<Slice>&) const;
template PendingReduction Communicator::start_exchange<double>(const double*, const std::vector<Slice>&,
                                                               double*, const std::vector<Slice>&) const;

}  // namespace tessera::comm
