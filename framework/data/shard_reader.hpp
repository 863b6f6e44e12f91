#pragma once
// Invariant: reads one shard without HDF5, from any number of threads at once; nothing it returns is
// unchecked: tables are verified against their checksum when the shard is opened, and each read verifies its
// record's checksum (unless told not to) and that every value is finite.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "data/shard.hpp"

namespace tessera::data {

struct RecordInfo {
  std::string_view id;                     ///< valid as long as the reader
  std::int32_t width = 0, height = 0;      ///< of the original picture, pixels
  std::int32_t group = -1, subgroup = -1;  ///< rows of the header's names, -1 = none
  std::uint32_t captions = 0;
  std::uint32_t bucket = 0;  ///< index into ShardLayout::buckets
};

class ShardReader {
 public:
  /// Opens the file and loads its tables (some 100 bytes per record).
  /// @throws Error when the file changed since it was inspected or its tables are damaged.
  ShardReader(std::shared_ptr<const ShardHeader> header, ShardLayout layout);
  /// Both steps for a single shard. Main thread only (HDF5).
  [[nodiscard]] static std::shared_ptr<const ShardReader> open(const std::string& path);

  [[nodiscard]] const ShardHeader& header() const { return *header_; }
  [[nodiscard]] const ShardLayout& layout() const { return layout_; }
  [[nodiscard]] std::uint64_t records() const { return layout_.records; }

  [[nodiscard]] RecordInfo info(std::uint64_t record) const;
  /// Reads a latent as float32 into `to`: [C, h, w], or [2, C, h, w] of a posterior.
  /// @param resolution  index into ShardHeader::resolutions
  /// @throws Error naming shard and record: NaN or infinity, checksum mismatch, unreadable disk.
  void read_latent(std::uint64_t record, std::size_t resolution, float* to, bool verify = true) const;
  /// The latent of its control map, likewise. @throws Error also when the shard has none.
  void read_control(std::uint64_t record, std::size_t resolution, float* to, bool verify = true) const;
  /// Reads a caption's features as stored, float16 bits, into `to`: [L, Dt]; rows that are not stored are
  /// zero.
  /// @return len_real. @throws Error as read_latent.
  std::uint32_t read_caption(std::uint64_t record, std::uint32_t caption, std::uint16_t* to,
                             bool verify = true) const;
  [[nodiscard]] std::uint32_t caption_len_real(std::uint64_t record, std::uint32_t caption) const;
  [[nodiscard]] std::string_view caption_text(std::uint64_t record, std::uint32_t caption) const;

 private:
  void load_tables();
  void check_tables() const;
  [[nodiscard]] std::uint64_t caption_row(std::uint64_t record, std::uint32_t caption) const;
  /// Bytes of a record. @throws Error naming it.
  void read_bytes(void* to, std::size_t bytes, std::uint64_t offset, std::uint64_t record,
                  const std::string& what) const;
  /// Values of a record in a data set of its bucket's records.
  void read_values(std::uint64_t record, std::size_t resolution, io::Extent bucket,
                   std::uint32_t expected_crc, const std::string& what, float* to, bool verify) const;
  void judge(bool finite, bool sum_right, std::uint64_t record, const std::string& what) const;

  std::shared_ptr<const ShardHeader> header_;
  ShardLayout layout_;
  io::File file_;
  std::vector<std::uint64_t> bucket_first_;  // record numbers
  std::vector<std::uint32_t> crc_, control_crc_, caption_crc_;
  std::vector<std::int32_t> size_, label_, len_real_;
  std::vector<std::int64_t> caption_first_, id_first_, text_first_;
  std::vector<std::uint8_t> id_, text_;
  std::vector<std::uint64_t> feature_first_;  // rows of features before each caption
};

}  // namespace tessera::data
