#pragma once
// Invariant: what a builder writes goes through here: training shards into the folder itself, held-out ones
// into its subfolder held_out/, or both into the folder of its part (datasets/parts.hpp). A build that fails
// leaves no shard under a final name.

#include <optional>
#include <string>

#include "base/error.hpp"
#include "data/shard_writer.hpp"
#include "datasets/shard_builder.hpp"

namespace tessera::datasets {

class ShardOutput {
 public:
  /// @throws Error when the folder holds shards already.
  ShardOutput(const ShardOptions& options, data::ShardHeader header);

  void train_on(const data::Record& record) { training_.add(record); }
  void hold_out(const data::Record& record);

  /// Names the shards, and those of all parts when this is the last of them; tells `report`.
  /// @param pictures  of the whole source. @throws `nothing` when there was no training record.
  void finish(BuildReport& report, std::size_t pictures, const Error& nothing);

 private:
  const ShardOptions& options_;
  data::ShardHeader header_;
  std::optional<PartFolder> part_;
  std::string folder_;
  data::DatasetWriter training_;
  std::optional<data::DatasetWriter> held_out_;
};

/// The report of a part that was complete before; joins all parts when nobody has. Nothing when it is to be
/// built.
[[nodiscard]] std::optional<BuildReport> finished_part(const ShardOptions& options);

}  // namespace tessera::datasets
