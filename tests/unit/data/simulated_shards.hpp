#pragma once
// An index of shards that do not exist: as large a data set as one likes, for everything that reads no
// record.

#include <string>
#include <vector>

#include "data/aspect_buckets.hpp"
#include "data/shard_index.hpp"
#include "unit/data/sample_shards.hpp"

namespace tessera::test {

/// @param records  of each bucket (a row of PixArt's 40) in each shard
template <class Records>
data::ShardIndex simulated_index(std::size_t shards, std::size_t buckets, const Records& records) {
  data::ShardInfo info;
  info.header = sample_header();
  info.header.resolutions = {256, 512};
  const std::vector<data::AspectBucket> all = data::aspect_buckets(info.header.resolutions, 16);
  data::ShardIndex index;
  for (std::size_t s = 0; s < shards; ++s) {
    data::ShardLayout& layout = info.layout;
    layout = {};
    layout.path = "/data/" + data::shard_name(s, shards);
    layout.seal_crc = 1;
    std::uint64_t at = 4096;
    const auto take = [&](std::uint64_t bytes) {
      at += bytes;
      return io::Extent{at - bytes, bytes};
    };
    for (std::size_t b = 0; b < buckets; ++b) {
      data::ShardBucket bucket;
      bucket.records = records(s, b);
      if (bucket.records == 0) continue;
      layout.records += bucket.records;
      const data::AspectBucket& shape = all[(b + all.size() / 2) % all.size()];  // the first one is square
      for (const io::ImageSize size : shape.sizes) {
        bucket.grids.push_back(
            {static_cast<std::uint32_t>(size.height / 8), static_cast<std::uint32_t>(size.width / 8)});
        bucket.latents.push_back(
            take(bucket.records * info.header.latent_values(bucket.grids.back()) * sizeof(std::uint16_t)));
      }
      layout.buckets.push_back(std::move(bucket));
    }
    const std::uint64_t n = layout.records;
    layout.captions = n;
    layout.features = take(n * info.header.caption_length * info.header.caption_width * 2);
    for (const std::uint64_t bytes : {n * 8, n * 8, n * 8, (n + 1) * 8, (n + 1) * 8, n * 10, n * 4, n * 4,
                                      (n + 1) * 8, n * 40, std::uint64_t{0}}) {
      layout.tables.push_back(take(bytes));
    }
    layout.file_bytes = at;
    index.add(info, {at, 0});
  }
  index.end_path();
  return index;
}

}  // namespace tessera::test
