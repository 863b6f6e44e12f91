#pragma once
// Invariant: all shards of an open Dataset agree with each other in everything their records have in common,
// and with what the run expects; all records of one aspect ratio have one latent size at each resolution.
// Memory is proportional to the number of shards, not of records: an index entry per shard (ShardIndex), two
// numbers per shard and aspect bucket, and the tables of the shards that are open, of which there are no more
// than make_room() was asked for; those least recently used are closed.

#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "data/shard_index.hpp"
#include "data/shard_reader.hpp"

namespace tessera::data {

/// What the configuration of a run says about its data; what is left empty is not checked.
struct DatasetExpectation {
  std::optional<std::string> codec;
  std::optional<std::string> codec_config;
  std::optional<std::string> text_encoder;
  std::optional<std::string> text_encoder_config;
  std::optional<std::string> control;  ///< what made the control maps
  std::optional<std::uint32_t> channels;
  std::optional<std::int64_t> resolution;
  std::optional<std::uint32_t> caption_length;
  std::optional<std::uint32_t> caption_width;
  /// A model that attends to padding needs CaptionStore::all; one that does not reads either.
  bool needs_all_positions = false;
};

/// The records of one aspect ratio over all shards.
struct DatasetBucket {
  double ratio = 0;         ///< key_ratio of the latents at the largest resolution
  std::vector<Grid> grids;  ///< latent size at each resolution
  std::uint64_t records = 0;
  std::vector<std::uint64_t> shard_records;  ///< in each shard
  std::vector<std::uint64_t> shard_first;    ///< in each shard, the number of the first of them
};

class Dataset {
 public:
  /// @param index  of the shards; the data set itself opens none before it is read from.
  /// @param open_shards  how many shards may be held open at once.
  /// @throws Error when shards disagree with each other (also in the latent size of an aspect ratio) or with
  /// `expected` (both values and the remedy are named).
  explicit Dataset(ShardIndex index, const DatasetExpectation& expected = {}, std::size_t open_shards = 32);
  /// Of ShardIndex::of(paths). Main thread only (HDF5).
  explicit Dataset(const std::vector<std::string>& paths, const DatasetExpectation& expected = {},
                   std::size_t open_shards = 32)
      : Dataset(ShardIndex::of(paths), expected, open_shards) {}

  [[nodiscard]] const ShardHeader& header() const { return *header_; }
  [[nodiscard]] std::uint64_t records() const { return records_; }
  /// Records of each shard, in the order of the shards' paths: what DataOrder takes.
  [[nodiscard]] std::vector<std::uint64_t> shard_records() const;
  [[nodiscard]] std::size_t shards() const { return index_.shards(); }
  /// How many of them each path named; they lie in the order of the paths.
  [[nodiscard]] const std::vector<std::size_t>& shards_by_path() const { return index_.shards_by_path(); }
  [[nodiscard]] ShardLayout layout(std::size_t shard) const { return index_.layout(shard); }
  [[nodiscard]] const std::string& path(std::size_t shard) const { return index_.path(shard); }
  /// Ascending by ratio.
  [[nodiscard]] const std::vector<DatasetBucket>& buckets() const { return buckets_; }
  /// Index into header().resolutions. @throws Error naming those there are.
  [[nodiscard]] std::size_t resolution_index(std::int64_t resolution) const;
  /// The latent size that all records have at a resolution.
  /// @throws Error when records differ in aspect ratio.
  [[nodiscard]] Grid common_grid(std::size_t resolution) const;
  /// Lets so many shards be open at once, if these are more than before. One thread.
  /// @throws Error when the system does not allow this process as many open files.
  void make_room(std::size_t shards) const;
  /// Closes those that nobody holds. Any thread.
  void close_shards() const;
  /// An open shard; any thread. It stays valid while held, whatever others ask for.
  [[nodiscard]] std::shared_ptr<const ShardReader> reader(std::size_t shard) const;

 private:
  void add_buckets(std::size_t shard, const ShardLayout& layout);
  struct OpenShard {
    std::size_t shard;
    std::shared_ptr<const ShardReader> reader;
  };
  ShardIndex index_;
  std::shared_ptr<const ShardHeader> header_;
  std::vector<DatasetBucket> buckets_;
  std::uint64_t records_ = 0;
  mutable std::size_t open_limit_;
  mutable std::mutex mutex_;
  mutable std::list<OpenShard> open_;  // most recently used first
};

}  // namespace tessera::data
