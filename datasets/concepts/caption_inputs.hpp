#pragma once
// Invariant: every caption of an input is counted once, in the order in which it is stored, with no more than
// one shard's tables or one row of a captions file in memory.

#include <cstdint>
#include <string>

#include "datasets/concepts/statistics.hpp"

namespace tessera::datasets::concepts {

/// Where the captions of one data set are, and which of them to take.
struct CaptionInput {
  /// A shard, a folder of shards, a captions file, or a folder with one (folder/captions_file.hpp).
  std::string path;
  /// Column or key of a captions file.
  std::string field = "caption";
  /// Of a shard's record only the caption with this number, from 1; 0 = all captions of every record.
  std::uint32_t number = 0;
};

[[nodiscard]] bool holds_shards(const std::string& path);

/// Rows of a captions file that follow each other and name the same image are one image. So are the records
/// of a shard whose ids differ only in what the builder put behind them ("a.png#2"); of those, records with
/// the same captions (written several times to be drawn more often) are counted once.
/// @throws Error when the input cannot be read, or a record has no caption with the number asked for. Main
/// thread only (HDF5).
void count_captions(const CaptionInput& input, ConceptStatistics& statistics);

}  // namespace tessera::datasets::concepts
