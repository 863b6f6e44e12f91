#pragma once
// Invariant: DataOrder is a pure function from (seed, draw number) to a record. Draws [k N, (k+1) N) of a
// data set of N records are a permutation of it, so after k epochs each record was drawn exactly k times,
// whatever the batch size, the number of ranks, or how often the run was resumed; a draw counter is the whole
// state. Memory is proportional to the number of shards.
//
// An epoch permutes the shards, cuts that sequence into windows of several shards, and draws the records of
// one window in random order before the next begins: few shards are in use at a time, yet neighbours in a
// shard end up far apart.

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "base/random.hpp"

namespace tessera::data {

/// A record of a data set, and the epoch (from 0) of the draw that chose it.
struct Draw {
  std::uint64_t epoch = 0;
  std::uint32_t shard = 0;
  std::uint64_t record = 0;  ///< within the shard
  friend bool operator==(const Draw&, const Draw&) = default;
};

/// A keyed bijection of [0, n): "swap or not" (Hoang, Morris, Rogaway, "An enciphering scheme based on a card
/// shuffle", CRYPTO 2012), with enough rounds for sampling, not for secrecy. Works for every n without
/// tables.
class KeyedPermutation {
 public:
  /// @param position  tells apart permutations of one stream.
  KeyedPermutation(const RandomStream& stream, std::uint64_t position, std::uint64_t n);
  [[nodiscard]] std::uint64_t operator()(std::uint64_t i) const;

 private:
  RandomStream stream_;
  std::uint64_t position_;
  std::uint64_t n_;
  std::vector<std::uint64_t> round_keys_;
};

/// Draws [first, last) of the endless sequence.
struct DrawRange {
  std::uint64_t first = 0;
  std::uint64_t last = 0;
  friend bool operator==(const DrawRange&, const DrawRange&) = default;
};

/// The part of a global batch of B draws from `start` on that rank r of W takes: [r B / W, (r+1) B / W) of
/// it.
[[nodiscard]] DrawRange rank_slice(std::uint64_t start, std::uint64_t global_batch, std::uint64_t rank,
                                   std::uint64_t ranks);

/// Not for concurrent use (the plan of the current epoch and window is kept); copies are independent and
/// equal, and share the table of shards.
class DataOrder {
 public:
  /// @param shard_records  records of each shard; at least one in all.
  /// @param window_shards  shards whose records are mixed with each other; more mix better, and touch more
  /// files.
  /// @param sequence  tells apart the orders of several parts of the same shards (aspect buckets). These
  /// permute the shards alike and cut the same windows, so that parts drawn at one pace keep the same files
  /// in use.
  /// @throws Error when there is no record.
  DataOrder(std::vector<std::uint64_t> shard_records, std::uint64_t seed, std::uint32_t window_shards = 16,
            std::uint32_t sequence = 0);

  [[nodiscard]] Draw at(std::uint64_t draw);
  /// Record `index` of all, counted shard after shard, as a draw of epoch 0.
  [[nodiscard]] Draw record(std::uint64_t index) const;
  /// Records per epoch.
  [[nodiscard]] std::uint64_t records() const { return records_; }
  /// Those without records too.
  [[nodiscard]] std::size_t shards() const { return shard_records_->size(); }

 private:
  struct EpochPlan {
    std::uint64_t epoch;
    RandomStream stream;
    std::vector<std::uint32_t> shards;  // permuted
    std::vector<std::uint64_t> first;   // draws of the epoch before each of them, and the total
  };
  struct Window {
    std::uint64_t epoch;
    std::uint64_t first, last;  // draws of the epoch
    KeyedPermutation permutation;
  };
  void plan(std::uint64_t epoch);
  /// The window that holds a draw of the planned epoch.
  void enter_window(std::uint64_t in_epoch);
  /// The shard, in the epoch's order, that holds a place of the epoch.
  [[nodiscard]] std::size_t place_of(std::uint64_t in_epoch) const;

  std::shared_ptr<const std::vector<std::uint64_t>> shard_records_;
  std::uint64_t records_ = 0;
  std::uint64_t seed_;
  std::uint32_t window_shards_;
  std::uint32_t sequence_;
  std::shared_ptr<const EpochPlan> plan_;
  std::optional<Window> window_;
};

}  // namespace tessera::data
