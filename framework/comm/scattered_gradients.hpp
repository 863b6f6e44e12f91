#pragma once
// Invariant: each rank's backward writes its gradients to gradients().data(), all of them, in memory of its
// own, and says how far it is. Bucket by bucket each rank receives the sum of its own part there
// (comm::Sharding), while backward goes on; the rest stays what this rank wrote. The way of a sharded
// optimizer (ZeRO-1).

#include <memory>
#include <vector>

#include "comm/bucket_scatter.hpp"
#include "comm/sharding.hpp"
#include "comm/summed_gradients.hpp"

namespace tessera::comm {

class ScatteredGradients final : public SummedGradients {
 public:
  /// @param sharers  the ranks whose parameters lie in one memory, for publish() and finish() to keep apart.
  /// @param gradients  of Placement::private_memory. Collective. @throws Error as SummedGradients does.
  ScatteredGradients(const Communicator& world, const Communicator& sharers, const SharedArena& gradients,
                     DType dtype, std::shared_ptr<const Sharding> sharding);

  /// This rank's gradients below `element` are complete for this step.
  void ready_up_to(std::size_t element);
  void progress() override { scatter_.progress(); }
  void finish() override;
  void publish() override;

 private:
  std::shared_ptr<const Sharding> sharding_;
  Communicator sharers_;
  BucketScatter scatter_;
  std::size_t next_bucket_ = 0;
};

}  // namespace tessera::comm
