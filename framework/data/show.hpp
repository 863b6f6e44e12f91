#pragma once
// Invariant: describing a shard reads it the way training does, so that what verify_shard accepts, training
// can read.

#include <cstdint>
#include <string>

#include "data/dataset.hpp"

namespace tessera::data {

/// A shard in lines of text: what made it, sizes, buckets, labels, and the first records with their captions.
/// @param examples  how many records to list.
[[nodiscard]] std::string describe(const ShardReader& shard, std::size_t examples = 8);

/// The aspect buckets of a data set over all its shards, a line each: ratio, sizes, records and their share.
[[nodiscard]] std::string describe_buckets(const Dataset& dataset);

struct ShardStatistics {
  std::uint64_t values = 0;
  double mean = 0;
  double deviation = 0;  ///< standard deviation over all values
  float least = 0;
  float greatest = 0;
};

/// Reads every latent, control map and caption of a shard, checking all.
/// @return statistics of the latents; of the means, for a posterior.
/// @throws Error at the first damaged record.
ShardStatistics verify_shard(const ShardReader& shard, std::size_t resolution = 0);

}  // namespace tessera::data
