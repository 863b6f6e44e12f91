#include "datasets/shard_output.hpp"

namespace tessera::datasets {
namespace {

std::optional<PartFolder> begin_part(const ShardOptions& options) {
  if (options.part.is_whole()) return {};
  PartFolder part(options.folder, options.part);
  part.begin();
  return part;
}

void join(const PartFolder& part, BuildReport& report) {
  report.shards.clear();
  report.held_out_shards.clear();
  if (std::optional<JoinedShards> joined = part.join()) {
    report.shards = std::move(joined->training);
    report.held_out_shards = std::move(joined->held_out);
  } else {
    report.missing_parts = part.missing();
  }
}

}  // namespace

ShardOutput::ShardOutput(const ShardOptions& options, data::ShardHeader header)
    : options_(options),
      header_(std::move(header)),
      part_(begin_part(options)),
      folder_(part_ ? part_->path() : options.folder),
      training_(folder_, header_, options.shard_bytes, options.shard_records) {}

void ShardOutput::hold_out(const data::Record& record) {
  if (!held_out_) held_out_.emplace(folder_ + "/held_out", header_, options_.shard_bytes);
  held_out_->add(record);
}

void ShardOutput::finish(BuildReport& report, std::size_t pictures, const Error& nothing) {
  if (!part_ && training_.records() == 0) throw nothing;  // of a part all may be held out
  // Held-out shards first: training shards under their final names then mean a complete data set.
  if (held_out_) report.held_out_shards = held_out_->finish();
  if (training_.records() > 0) report.shards = training_.finish();
  if (!part_) return;
  part_->finish(pictures, report.shards.size(), report.held_out_shards.size());
  join(*part_, report);
}

std::optional<BuildReport> finished_part(const ShardOptions& options) {
  if (options.part.is_whole()) return {};
  const PartFolder part(options.folder, options.part);
  if (!part.complete()) return {};
  BuildReport report;
  report.was_complete = true;
  join(part, report);
  return report;
}

}  // namespace tessera::datasets
