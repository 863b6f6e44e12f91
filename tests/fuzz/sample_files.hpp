#pragma once
// Invariant: the same small good files each time; every kind of data that their formats know occurs in them.

#include <string>

namespace tessera::fuzz {

/// A shard of three records in two aspect buckets, at `path`.
void write_sample_shard(const std::string& path);
/// A checkpoint of two tensors, written after the format's description (checkpoint/checkpoint.hpp), not by
/// the code that is tried.
void write_sample_checkpoint(const std::string& path);

}  // namespace tessera::fuzz
