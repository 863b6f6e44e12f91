#pragma once
// Invariant: an all-gather in flight: of a bucket's elements every holder (comm::Sharding) has written its
// part, in the memory that its ranks share, and receives those of the others. One rank of each holder takes
// part, for each bucket the next one in turn, so that all of a node's ranks send and receive at the same
// time.

#include <cstddef>
#include <deque>
#include <memory>
#include <vector>

#include "comm/communicator.hpp"
#include "comm/sharding.hpp"
#include "tensor/tensor.hpp"

namespace tessera::comm {

class BucketGather {
 public:
  /// Elements of a flat arena of the sharding's layout.
  struct Segment {
    Tensor arena;
    Slice elements;
  };

  /// @param sharers  the ranks of this rank's holder. Collective.
  BucketGather(const Communicator& world, const Communicator& sharers,
               std::shared_ptr<const Sharding> sharding);

  /// Starts to gather what lies in a bucket, as one message; all ranks start the same in the same order. All
  /// ranks of this holder have written its part before (barrier()). Several segments travel in a copy.
  void start(std::size_t bucket, const std::vector<Segment>& segments);
  /// Moves on what can move without waiting.
  void progress();
  /// Returns when all is there, in the memory of this rank's holder. Collective over the sharers.
  void wait();

 private:
  struct Message {
    std::vector<Segment> segments;
    std::size_t bucket;
    Tensor packed{};              ///< where there are several segments
    std::vector<Slice> places{};  ///< bytes of each holder in `packed`
    PendingReduction exchange{};  ///< goes before the memory that it fills
  };
  [[nodiscard]] Message packed(std::size_t bucket, const std::vector<Segment>& segments) const;
  void land();

  Communicator sharers_;
  std::shared_ptr<const Sharding> sharding_;
  Communicator lane_;  ///< the ranks of all holders with this one's number among the sharers
  std::deque<Message> flying_;
};

}  // namespace tessera::comm
