#pragma once
// Invariant: every command that writes a data set takes the same options for its shards.

#include "datasets/shard_builder.hpp"
#include "launch/arguments.hpp"

namespace tessera::launch {

/// --store, --latent-type, --shard-records, --shard-size, --part, --threads.
[[nodiscard]] std::vector<Option> shard_options();

/// Those, --out, and progress on a terminal. @throws Error (usage) on a value that is not known.
void read_shard_options(const Arguments& arguments, const std::string& command,
                        datasets::ShardOptions& options);

/// Pictures, records, shards, what was held out, and what to look at next.
void print_shards(const datasets::BuildReport& report, const datasets::ShardOptions& options);

}  // namespace tessera::launch
