#pragma once
// Invariant: the elements of arenas of one layout are dealt to the ranks bucket by bucket. A bucket is a run
// of whole ranges (parameters); of every bucket each rank has one consecutive part, all as large up to a
// granule, and ranks that share memory have parts beside each other. So a rank has at most one consecutive
// part of every range, what it keeps lies at the place that it has in the whole, and a bucket's sum sends the
// same to all.
//
// The share of ZeRO (Rajbhandari et al. 2020, section 5): 1/W of gradients, moments, average and master
// values on each of W ranks.

#include <cstddef>
#include <memory>
#include <vector>

#include "comm/communicator.hpp"
#include "comm/slice.hpp"

namespace tessera::comm {

/// The groups of ranks that have one memory each: nodes, or single ranks.
struct Holders {
  std::vector<int> position;  ///< of each rank in the order of parts
  std::vector<int> first;     ///< position of the first rank of each holder, and at last the number of ranks
  int mine = 0;               ///< this rank's

  /// @param sharers  the ranks that have one memory with this one; a node, or alone(). Collective.
  [[nodiscard]] static Holders of(const Communicator& world, const Communicator& sharers);
  [[nodiscard]] int count() const { return static_cast<int>(first.size()) - 1; }
  /// Ranks of the smallest.
  [[nodiscard]] int fewest() const;
};

class Sharding {
 public:
  static constexpr std::size_t default_bucket_bytes = std::size_t{25} << 20;

  /// @param starts  of the ranges, in order, from 0. @param border  the start of a range, or `elements`: no
  /// bucket lies on both sides of it. @param bucket_elements  a bucket of several ranges has no more.
  Sharding(Holders holders, int rank, const std::vector<std::size_t>& starts, std::size_t elements,
           std::size_t border, std::size_t bucket_elements);

  [[nodiscard]] const Holders& holders() const { return holders_; }
  [[nodiscard]] int ranks() const { return static_cast<int>(holders_.position.size()); }
  [[nodiscard]] std::size_t elements() const { return buckets_.empty() ? 0 : buckets_.back().end; }
  /// Consecutive, from 0.
  [[nodiscard]] const std::vector<Slice>& buckets() const { return buckets_; }
  /// Those below the border.
  [[nodiscard]] std::size_t buckets_below_border() const { return below_border_; }
  [[nodiscard]] std::size_t elements_below_border() const {
    return below_border_ == 0 ? 0 : buckets_[below_border_ - 1].end;
  }
  /// The bucket of an element.
  [[nodiscard]] std::size_t bucket_of(std::size_t element) const;

  [[nodiscard]] Slice part(std::size_t bucket, int rank) const;
  [[nodiscard]] Slice holder_part(std::size_t bucket, int holder) const;
  /// This rank's, of the buckets below the border.
  [[nodiscard]] std::vector<Slice> my_parts() const;
  /// This rank's holder's, of the first `buckets`.
  [[nodiscard]] std::vector<Slice> my_holders_parts(std::size_t buckets) const;
  /// What a rank has of a range inside one bucket: consecutive, and empty for most.
  [[nodiscard]] Slice part_of_range(Slice range, int rank) const;

 private:
  Holders holders_;
  int rank_;
  std::vector<Slice> buckets_;
  std::size_t below_border_ = 0;
};

}  // namespace tessera::comm
