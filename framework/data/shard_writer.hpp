#pragma once
// Invariant: a shard appears under its name complete, sealed and synced, or not at all; memory grows by some
// 200 bytes per record plus its texts, whatever the size of latents and caption features (these wait in
// nameless scratch files beside the shard until the number of records is known).

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "data/shard.hpp"

namespace tessera::data {

/// One picture as the builder of a data set hands it over.
struct Record {
  struct Latent {
    Grid grid;
    std::vector<float> values;  ///< [C, h, w], or [2, C, h, w] (mean, standard deviation)
  };
  struct Caption {
    std::string text;
    std::uint32_t len_real = 0;   ///< leading positions that are not padding, at most L
    std::vector<float> features;  ///< [L, Dt]; with CaptionStore::real the rows from len_real on are dropped
  };
  std::string id;           ///< names the record in messages; should be unique in the data set
  std::int32_t width = 0;   ///< of the original picture, pixels
  std::int32_t height = 0;  ///< of the original picture, pixels
  std::int32_t group = -1;  ///< row of ShardHeader::groups, -1 = none
  std::int32_t subgroup = -1;
  std::vector<Latent> latents;    ///< one per resolution of the header, in order
  std::vector<Latent> controls;   ///< of the control maps, in the same grids; none when the header has none
  std::vector<Caption> captions;  ///< at least one when the header has caption features
};

class ShardWriter {
 public:
  /// @param path  the shard's final name; its folder must exist.
  /// @throws Error when the header is inconsistent or the folder cannot be written.
  ShardWriter(std::string path, ShardHeader header);
  ~ShardWriter();
  ShardWriter(const ShardWriter&) = delete;
  ShardWriter& operator=(const ShardWriter&) = delete;

  /// @throws Error naming the record when it does not fit the header, or holds NaN, infinity or a value
  /// beyond float16 where it is stored as such. The writer stays usable without that record.
  void add(const Record& record);
  [[nodiscard]] std::uint64_t records() const { return records_; }
  /// Bulk bytes taken so far: what decides when to begin the next shard.
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }
  /// No less than the file that finish() would write now, and little more: bulk, tables and HDF5's headers.
  [[nodiscard]] std::uint64_t file_bytes() const;
  /// Writes the shard under its final name. Main thread only (HDF5). @throws Error, when empty too.
  void finish();

 private:
  struct Bucket;
  struct Tables;
  void check(const Record& record) const;
  [[nodiscard]] Tables tables() const;
  [[nodiscard]] std::uint64_t bulk_datasets() const;
  [[nodiscard]] std::uint64_t user_block() const;
  [[nodiscard]] std::uint64_t file_bytes(const Tables& tables) const;
  void write_description(const std::string& path, const Tables& tables) const;
  void copy_bulk(const std::string& path, const ShardLayout& layout) const;

  std::string path_;
  ShardHeader header_;
  std::map<std::vector<Grid>, std::unique_ptr<Bucket>> buckets_;
  std::uint64_t records_ = 0;
  std::uint64_t captions_ = 0;
  std::uint64_t feature_rows_ = 0;
  std::uint64_t bytes_ = 0;
};

/// A data set as numbered shards in one folder. Invariant: the shards appear under their final names, which
/// tell how many there are (so that a missing one is noticed), only in finish().
class DatasetWriter {
 public:
  /// @param shard_bytes  a new shard begins once one holds this much.
  /// @param shard_records  or this many records; 0 = by bytes only.
  /// @throws Error when the folder already holds shards.
  DatasetWriter(std::string folder, ShardHeader header, std::uint64_t shard_bytes = std::uint64_t{1} << 30,
                std::uint64_t shard_records = 0);
  ~DatasetWriter();
  DatasetWriter(const DatasetWriter&) = delete;
  DatasetWriter& operator=(const DatasetWriter&) = delete;

  void add(const Record& record);
  [[nodiscard]] std::uint64_t records() const { return records_; }
  /// @return the paths of the shards. Main thread only (HDF5).
  std::vector<std::string> finish();

 private:
  void finish_shard();
  std::string folder_;
  ShardHeader header_;
  std::uint64_t shard_bytes_;
  std::uint64_t shard_records_;
  std::uint64_t records_ = 0;
  std::vector<std::string> unnamed_;  // finished shards under provisional names
  std::unique_ptr<ShardWriter> shard_;
};

/// "shard-00002-of-00016.h5"
[[nodiscard]] std::string shard_name(std::size_t index, std::size_t count);

}  // namespace tessera::data
