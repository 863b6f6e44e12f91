#pragma once
// Invariant: a held-out picture never enters a training shard, whatever the options; a build leaves a
// complete data set in its folder or, when it fails, none. Training shards lie in the folder itself, held-out
// pictures in its subfolder held_out/, both with the same header and the same class labels.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "data/shard.hpp"
#include "datasets/parts.hpp"
#include "datasets/source.hpp"
#include "plugin/slots/codec.hpp"
#include "plugin/slots/control_map.hpp"
#include "plugin/slots/text_encoder.hpp"

namespace tessera::datasets {

/// How shards are written, whatever their records come from.
struct ShardOptions {
  std::string folder;
  Part part;  ///< which range of the pictures; the others are built by other processes
  data::CaptionStore captions = data::CaptionStore::all;
  io::StoredType latent_type = io::StoredType::f16;
  std::uint64_t shard_bytes = std::uint64_t{1} << 30;
  std::size_t shard_records = 0;  ///< a new shard begins after this many records; 0 = by bytes only
  unsigned threads = 1;           ///< that load, resize and encode pictures; must be 1 for a codec on a GPU
  /// Told after each picture; may be empty.
  std::function<void(std::size_t done, std::size_t all)> progress;
};

struct BuildOptions : ShardOptions {
  std::vector<std::int64_t> sizes{32};  ///< picture sides in pixels, side by side in every record
  /// 0: every picture is cut to a square. Otherwise each goes to the aspect bucket nearest to its shape
  /// (data/aspect_buckets.hpp), whose sides are multiples of this many pixels: what one patch of the model
  /// covers.
  std::int64_t bucket_unit = 0;
  /// Pictures whose long side is more than this many times the short one are left out and counted; 0 = none.
  double max_ratio = 0;
  bool alternatives = false;  ///< alternative captions as further captions of a picture
  /// How often a picture enters the training shards (its sampling weight); empty for once each.
  std::function<std::size_t(const Picture& picture)> repeats;
};

/// What makes the records. Shards record their identity(), which a run compares with that of its own.
struct Encoders {
  const Codec& codec;
  const TextEncoder& text_encoder;
  const ControlMap* control = nullptr;  ///< null: records have no control maps; a source's own come first
};

/// Numbers are of this part, where the build is one of several.
struct BuildReport {
  std::size_t pictures = 0;  ///< in training shards
  std::size_t records = 0;   ///< of training shards, repeats included
  std::size_t held_out = 0;  ///< pictures kept for evaluation
  std::size_t too_long = 0;  ///< pictures left out for BuildOptions::max_ratio
  /// Captions that take every position of the text encoder: longer ones are cut there.
  std::size_t full_captions = 0;
  /// Pictures in training shards by aspect bucket, ascending by ratio; one entry for squares.
  std::vector<std::pair<double, std::size_t>> buckets;
  std::vector<std::string> shards;  ///< of all parts; none while some are missing
  std::vector<std::string> held_out_shards;
  std::vector<std::size_t> missing_parts;  ///< counted from 1
  bool was_complete = false;               ///< this part was built before
};

/// Resizes so that a picture covers its bucket or the square, cuts out the middle (recipes X.3, M.E.3),
/// encodes and writes every picture of `source`.
/// @throws Error when a size or the buckets' unit does not suit the codec, a picture cannot be read, there is
/// nothing to train on, the folder already holds shards, or the disk is full.
BuildReport build_shards(const Source& source, const Encoders& encoders, const BuildOptions& options);

}  // namespace tessera::datasets
