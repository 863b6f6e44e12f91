#pragma once
// Invariant: the same small good files each time; every kind of data that their formats know occurs in them.

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "io/hdf5.hpp"

namespace tessera::fuzz {

/// A shard of three records in two aspect buckets, at `path`.
void write_sample_shard(const std::string& path);

/// What a checkpoint says of itself, true or not; as it stands, that of a good one.
struct CheckpointContent {
  CheckpointContent();
  std::map<std::string, std::string> texts;  ///< attributes
  std::map<std::string, std::int64_t> integers;
  std::vector<std::string> config, plugins, names;
  std::vector<std::uint32_t> checksums;
  io::StoredType type = io::StoredType::f32;  ///< of both tensors, which are there whatever `names` says
  std::vector<std::uint64_t> shape{2, 3};
};
/// Written after the format's description (checkpoint/checkpoint.hpp), not by the code that is tried.
void write_checkpoint(const std::string& path, const CheckpointContent& content);

}  // namespace tessera::fuzz
