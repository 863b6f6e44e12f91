#pragma once
// Invariant: a reduce-scatter in flight: of a bucket's elements each rank receives every rank's values of its
// own part, and adds them in rank order. The bits of a sum depend on the ranks alone, not on timing, on the
// buckets' sizes or on MPI's choice of algorithm. What a rank sends and receives is (W-1)/W of the bucket,
// the least possible.

#include <cstddef>
#include <deque>
#include <memory>
#include <vector>

#include "comm/communicator.hpp"
#include "comm/sharding.hpp"
#include "tensor/tensor.hpp"

namespace tessera::comm {

class BucketScatter {
 public:
  static constexpr std::size_t default_exchange_bytes = std::size_t{8} << 20;

  /// @param sums  flat, of all elements; only this rank's parts of it are touched, as sums.
  /// @param exchange_bytes  of a bucket that are exchanged at a time, over all ranks.
  BucketScatter(const Communicator& world, std::shared_ptr<const Sharding> sharding, Tensor sums,
                std::size_t exchange_bytes = default_exchange_bytes);

  /// Starts to sum a bucket, or its first source.numel() elements; all ranks start the same ones in the same
  /// order. @param source  this rank's values; kept, and not to be written, until they are summed.
  /// @param add  to what `sums` holds; else that is replaced.
  void start(std::size_t bucket, const Tensor& source, bool add);
  /// Moves on what can move without waiting.
  void progress();
  /// Waits until the sources that are kept have no more than `bytes`.
  void wait_until_kept(std::size_t bytes);
  void wait() { wait_until_kept(0); }

 private:
  struct Source {
    Tensor values;
    std::size_t begin;  ///< element of the first
    bool add;
  };
  /// The same share of every rank's part.
  struct Piece {
    std::shared_ptr<const Source> source;
    std::vector<Slice> of_rank;  ///< elements
    bool last;                   ///< of its source
    Tensor received{};
    std::vector<Slice> places{};  ///< of each rank's values in `received`
    PendingReduction exchange{};  ///< goes before the memory that it fills
  };
  void launch();
  void add_up(const Piece& piece) const;
  /// The oldest piece is there.
  void land();

  Communicator world_;
  std::shared_ptr<const Sharding> sharding_;
  Tensor sums_;
  std::size_t piece_elements_;
  std::size_t kept_bytes_ = 0;
  std::deque<Piece> waiting_;
  std::deque<Piece> flying_;
};

}  // namespace tessera::comm
