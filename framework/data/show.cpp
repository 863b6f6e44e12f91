#include "data/show.hpp"

#include <algorithm>
#include <cmath>
#include <iomanip>
#include <map>
#include <sstream>

#include "data/aspect_buckets.hpp"

namespace tessera::data {
namespace {

void print_labels(std::ostream& out, const ShardReader& shard) {
  const ShardHeader& header = shard.header();
  if (header.groups.empty()) return;
  std::map<std::int32_t, std::uint64_t> counts;
  for (std::uint64_t i = 0; i < shard.records(); ++i) ++counts[shard.info(i).group];
  out << "groups        ";
  const char* separator = "";
  for (const auto& [group, count] : counts) {
    const std::string name = group < 0 ? "(none)" : header.groups[static_cast<std::size_t>(group)];
    out << separator << name << " " << count;
    separator = ", ";
  }
  out << "\nsubgroups     " << header.subgroups.size() << "\n";
}

void print_example(std::ostream& out, const ShardReader& shard, std::uint64_t record) {
  const RecordInfo info = shard.info(record);
  out << "  " << record << "  " << info.id << "  " << info.width << "x" << info.height;
  if (info.group >= 0) out << "  [" << shard.header().groups[static_cast<std::size_t>(info.group)] << "]";
  for (std::uint32_t j = 0; j < info.captions; ++j) {
    out << (j == 0 ? "  " : " | ") << shard.caption_text(record, j) << " ("
        << shard.caption_len_real(record, j) << ")";
  }
  out << "\n";
}

std::string with_config(const std::string& name, const std::string& config) {
  return config.empty() ? name : name + " " + config;
}

// Latents are height x width, as everywhere in a shard.
void print_bucket(std::ostream& out, std::size_t number, std::uint64_t records, std::uint64_t all,
                  const std::vector<Grid>& grids, const ShardHeader& header) {
  out << "bucket " << std::left << std::setw(7) << number << std::right << records << " records, "
      << std::lround(100.0 * static_cast<double>(records) / static_cast<double>(all)) << " %, height / width "
      << ratio_text(key_ratio(grids.back().height, grids.back().width)) << ";";
  for (std::size_t r = 0; r < grids.size(); ++r) {
    out << " " << header.resolutions[r] << " px: " << grids[r].height << "x" << grids[r].width;
  }
  out << "\n";
}

}  // namespace

std::string describe_buckets(const Dataset& dataset) {
  std::ostringstream out;
  out << "all shards    " << dataset.records() << " records in " << dataset.shards() << " shards\n";
  for (std::size_t k = 0; k < dataset.buckets().size(); ++k) {
    const DatasetBucket& bucket = dataset.buckets()[k];
    print_bucket(out, k, bucket.records, dataset.records(), bucket.grids, dataset.header());
  }
  return out.str();
}

std::string describe(const ShardReader& shard, std::size_t examples) {
  const ShardHeader& header = shard.header();
  const ShardLayout& layout = shard.layout();
  std::ostringstream out;
  out << "shard         " << layout.path << " (" << io::readable_bytes(layout.file_bytes) << ")\n"
      << "records       " << layout.records << ", captions " << layout.captions << "\n"
      << "codec         " << with_config(header.codec, header.codec_config) << "\n"
      << "text encoder  " << with_config(header.text_encoder, header.text_encoder_config) << "\n"
      << "latents       " << name_of(header.latent) << ", " << io::name_of(header.latent_type) << ", "
      << header.channels << " channels\n"
      << "control maps  " << (header.control.empty() ? "none" : header.control) << "\n"
      << "captions      " << header.caption_length << " x " << header.caption_width << " float16, "
      << (header.caption_store == CaptionStore::all ? "all positions" : "real positions only") << "\n";
  for (std::size_t k = 0; k < layout.buckets.size(); ++k) {
    print_bucket(out, k, layout.buckets[k].records, layout.records, layout.buckets[k].grids, header);
  }
  print_labels(out, shard);
  out << "examples      number, id, original size, [group], captions (real positions)\n";
  // spread over the shard, so that not all come from one group
  const std::uint64_t count = std::min<std::uint64_t>(examples, shard.records());
  for (std::uint64_t i = 0; i < count; ++i) print_example(out, shard, i * shard.records() / count);
  return out.str();
}

ShardStatistics verify_shard(const ShardReader& shard, std::size_t resolution) {
  const ShardHeader& header = shard.header();
  ShardStatistics found;
  found.least = INFINITY;
  found.greatest = -INFINITY;
  double sum = 0, squares = 0;
  std::vector<float> latent;
  std::vector<std::uint16_t> caption(std::size_t{header.caption_length} * header.caption_width);
  for (std::uint64_t i = 0; i < shard.records(); ++i) {
    const RecordInfo info = shard.info(i);
    for (std::size_t r = 0; r < header.resolutions.size(); ++r) {
      latent.resize(header.latent_values(shard.layout().buckets[info.bucket].grids[r]));
      if (!header.control.empty()) shard.read_control(i, r, latent.data());
      if (r != resolution) shard.read_latent(i, r, latent.data());
    }
    latent.resize(header.latent_values(shard.layout().buckets[info.bucket].grids.at(resolution)));
    shard.read_latent(i, resolution, latent.data());
    if (header.latent == LatentKind::posterior) latent.resize(latent.size() / 2);
    for (const float value : latent) {
      sum += value;
      squares += double{value} * value;
      found.least = std::min(found.least, value);
      found.greatest = std::max(found.greatest, value);
    }
    found.values += latent.size();
    for (std::uint32_t j = 0; j < info.captions; ++j) shard.read_caption(i, j, caption.data());
  }
  const auto count = static_cast<double>(found.values);
  found.mean = sum / count;
  found.deviation = std::sqrt(std::max(0.0, squares / count - found.mean * found.mean));
  return found;
}

}  // namespace tessera::data
