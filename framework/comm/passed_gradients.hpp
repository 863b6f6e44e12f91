#pragma once
// Invariant: a rank has memory for the sums of its own parts alone (comm::Sharding). Backward hands every
// gradient over as soon as it is complete; it is gone when its bucket is summed, which the next buckets'
// backward need not wait for unless more than queue_bytes are on their way. The way of sharded gradients
// (ZeRO-2): with several micro-batches each of them is summed over the ranks, as in FSDP's SHARD_GRAD_OP.

#include <cstdint>
#include <memory>
#include <vector>

#include "comm/bucket_scatter.hpp"
#include "comm/sharding.hpp"
#include "comm/summed_gradients.hpp"

namespace tessera::comm {

class PassedGradients final : public SummedGradients {
 public:
  static constexpr std::size_t default_queue_bytes = std::size_t{64} << 20;

  /// @param sharers  the ranks whose parameters lie in one memory, for publish() and finish() to keep apart.
  /// @param gradients  of Placement::private_memory, with memory for the rank's parts at least.
  /// @param ranges  of the parameters, in order, one or more whole ones in every bucket below the border;
  /// elements between them have a gradient of zero. Collective. @throws Error as SummedGradients does.
  PassedGradients(const Communicator& world, const Communicator& sharers, const SharedArena& gradients,
                  DType dtype, std::shared_ptr<const Sharding> sharding, std::vector<Slice> ranges,
                  std::size_t queue_bytes = default_queue_bytes);

  /// Takes this rank's gradient of a range, or nothing if it is undefined. A round is one contribution to
  /// every range, in order, by every rank; a step has one round or more, as many on all ranks. The gradient
  /// must not be written afterwards. @throws Error when it is not the turn of this range, or type or count do
  /// not fit.
  void contribute(std::size_t range, const Tensor& gradient);
  void progress() override { scatter_.progress(); }
  /// @throws Error in the middle of a round.
  void finish() override;
  void publish() override;

 private:
  /// Puts a gradient into the memory of its bucket, which begins and ends with ranges.
  void collect(std::size_t range, std::size_t bucket, const Tensor& gradient);

  std::shared_ptr<const Sharding> sharding_;
  Communicator sharers_;
  std::vector<Slice> ranges_;
  std::size_t queue_bytes_;
  BucketScatter scatter_;
  std::size_t next_ = 0;  ///< range
  bool first_round_ = true;
  Tensor collected_;  ///< of the bucket that next_ is in the middle of
};

}  // namespace tessera::comm
