#pragma once
// The shard format, version 1. Invariant: a shard that inspect_shard accepts is complete, its tables agree
// with its header, and every extent lies inside the file.
//
// A shard is a sealed HDF5 file (io/file_seal.hpp: damaged ones are refused before HDF5 parses them) of n
// records with m captions (at least as many). Records are sorted by aspect bucket: the records of one bucket
// have the same latent size at each of the R resolutions. All numbers are little-endian, all data sets
// contiguous.
//
//   /  attributes   format "tessera-shard", format_version 1, records n, captions m, resolutions [R] (nominal
//                   picture side in pixels, ascending), latent "sample"|"posterior", latent_channels C,
//                   codec, codec_config, text_encoder, text_encoder_config, caption_length L, caption_width
//                   Dt, caption_store "all"|"real", bucket_records [K], bucket_grids [K*R*2] (latent height,
//                   width), tables_crc32c (of the data sets marked * in this order); control, only where
//                   records have control maps: what made these
//   /latents/<resolution>/<bucket>  f16|f32 [records, C, h, w]; posterior: [records, 2, C, h, w], mean, std
//   /controls/<resolution>/<bucket> the latents of the control maps, like those of the pictures
//   /captions/features              f16 [m, L, Dt], or for `real` [rows, Dt]: caption j has its len_real rows
//   /records/crc *                  u32 [n, R]   CRC32C of the record's bytes at each resolution
//   /records/size *                 i32 [n, 2]   width, height of the original picture in pixels
//   /records/label *                i32 [n, 2]   group, subgroup: rows of /labels/*, -1 = none
//   /records/caption_first *        i64 [n+1]    record i has captions [first[i], first[i+1])
//   /records/id_first *, id *       i64 [n+1], u8   UTF-8, one after another
//   /captions/crc *                 u32 [m]      CRC32C of the stored feature bytes
//   /captions/len_real *            i32 [m]      leading positions that are not padding
//   /captions/text_first *, text *  i64 [m+1], u8   UTF-8
//   /records/control_crc *          u32 [n, R]   as /records/crc, of the control maps
//   /labels/groups, /labels/subgroups  strings
//
// Latents are stored as the model sees them (already multiplied by the codec's factor).

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "io/file.hpp"
#include "io/hdf5.hpp"

namespace tessera::data {

inline constexpr const char* kShardFormat = "tessera-shard";
inline constexpr std::int64_t kShardVersion = 1;

/// sample: one draw of the codec's distribution; posterior: its mean and standard deviation, drawn anew each
/// time the record is read.
enum class LatentKind : std::uint8_t { sample, posterior };
/// all: every position is kept, padding too (models that attend to padding); real: the leading len_real only.
enum class CaptionStore : std::uint8_t { all, real };

/// Height and width of a latent.
struct Grid {
  std::uint32_t height = 0;
  std::uint32_t width = 0;
  friend auto operator<=>(const Grid&, const Grid&) = default;
};

/// What all records of a shard have in common, and all shards of a data set must agree on.
struct ShardHeader {
  std::string codec;         ///< component name, "pixel"
  std::string codec_config;  ///< its resolved settings, JSON; compared as text
  std::string text_encoder;
  std::string text_encoder_config;
  std::string control;  ///< what made the control maps (ControlMap::identity); empty: records have none
  LatentKind latent = LatentKind::sample;
  io::StoredType latent_type = io::StoredType::f16;  ///< f16 or f32
  std::uint32_t channels = 0;
  std::vector<std::int64_t> resolutions;  ///< nominal picture sides in pixels, ascending
  std::uint32_t caption_length = 0;       ///< L, positions
  std::uint32_t caption_width = 0;        ///< Dt, features per position
  CaptionStore caption_store = CaptionStore::all;
  std::vector<std::string> groups;  ///< names of the class labels
  std::vector<std::string> subgroups;

  /// Values of one latent of a grid as stored: twice C*h*w for a posterior.
  [[nodiscard]] std::uint64_t latent_values(Grid grid) const {
    return std::uint64_t{latent == LatentKind::posterior ? 2U : 1U} * channels * grid.height * grid.width;
  }
  friend bool operator==(const ShardHeader&, const ShardHeader&) = default;
};

/// The records of one aspect ratio; vectors have one entry per resolution.
struct ShardBucket {
  std::uint64_t records = 0;
  std::vector<Grid> grids;
  std::vector<io::Extent> latents;
  std::vector<io::Extent> controls;  ///< empty when records have none
};

/// Where everything lies in the file; enough to read it without HDF5.
struct ShardLayout {
  std::string path;
  std::uint64_t file_bytes = 0;
  std::uint32_t seal_crc = 0;  ///< io::seal_checksum; 0 while the shard is still being written
  std::uint64_t records = 0;
  std::uint64_t captions = 0;
  std::uint32_t tables_crc = 0;
  std::vector<ShardBucket> buckets;
  io::Extent features;
  /// The data sets marked * in the format's description, in that order.
  std::vector<io::Extent> tables;
};

/// Indices into ShardLayout::tables, and the data sets' names.
enum class ShardTable : std::uint8_t {
  crc,
  size,
  label,
  caption_first,
  id_first,
  id,
  caption_crc,
  len_real,
  text_first,
  text,
  control_crc  ///< of no bytes when records have no control maps
};
inline constexpr std::size_t kShardTables = 11;
[[nodiscard]] const char* dataset_of(ShardTable table);
/// The data set of a bucket in the group "/latents" or "/controls".
[[nodiscard]] std::string latents_of(const ShardHeader& header, const char* group, std::size_t resolution,
                                     std::size_t bucket);
[[nodiscard]] io::StoredType type_of(ShardTable table);

struct ShardInfo {
  ShardHeader header;
  ShardLayout layout;
};

/// Checks a shard's seal and description and finds its data; reads no record. Main thread only (HDF5).
/// @throws Error naming the file, what is wrong and the remedy, for any damaged or foreign file.
[[nodiscard]] ShardInfo inspect_shard(const std::string& path);
/// The part of inspect_shard after the seal, for a shard that is still being written.
[[nodiscard]] ShardInfo describe_shard(const std::string& path);

[[nodiscard]] const char* name_of(LatentKind kind);
[[nodiscard]] const char* name_of(CaptionStore store);

}  // namespace tessera::data
