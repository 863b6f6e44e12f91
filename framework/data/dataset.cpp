#include "data/dataset.hpp"

#include <algorithm>

#include "data/aspect_buckets.hpp"

namespace tessera::data {
namespace {

std::string text_of(Grid grid) { return std::to_string(grid.height) + "x" + std::to_string(grid.width); }
std::string text_of(const std::string& value) { return "'" + value + "'"; }
template <class Number>
std::string text_of(Number value) {
  return std::to_string(value);
}

// A shard agrees with another or with the configuration in one respect, or the run ends here.
template <class Value>
void agree(const std::string& path, const char* what, const Value& found, const Value& wanted,
           const std::string& whose, const char* remedy) {
  if (found == wanted) return;
  throw Error(std::string("the ") + what + " of this shard is " + text_of(found) + ", but " + whose +
                  " has " + text_of(wanted) + ".",
              path, remedy);
}

void check_same(const ShardHeader& a, const std::string& path_a, const ShardHeader& b,
                const std::string& path_b) {
  const char* remedy =
      "Train on shards of one build only: remove the others, or build all with the same settings.";
  const std::string whose = "shard " + text_of(path_a);
  const auto names = [](const std::vector<std::string>& list) {
    std::string text;
    for (const std::string& name : list) text += (text.empty() ? "" : ", ") + name;
    return text;
  };
  const auto numbers = [&](const std::vector<std::int64_t>& list) {
    std::vector<std::string> text;
    for (const std::int64_t number : list) text.push_back(std::to_string(number));
    return names(text);
  };
  agree(path_b, "codec", b.codec, a.codec, whose, remedy);
  agree(path_b, "codec configuration", b.codec_config, a.codec_config, whose, remedy);
  agree(path_b, "text encoder", b.text_encoder, a.text_encoder, whose, remedy);
  agree(path_b, "text encoder configuration", b.text_encoder_config, a.text_encoder_config, whose, remedy);
  agree(path_b, "source of control maps", b.control, a.control, whose, remedy);
  agree(path_b, "latent kind", std::string(name_of(b.latent)), std::string(name_of(a.latent)), whose, remedy);
  agree(path_b, "latent type", std::string(io::name_of(b.latent_type)),
        std::string(io::name_of(a.latent_type)), whose, remedy);
  agree(path_b, "number of latent channels", b.channels, a.channels, whose, remedy);
  agree(path_b, "list of resolutions", numbers(b.resolutions), numbers(a.resolutions), whose, remedy);
  agree(path_b, "caption length", b.caption_length, a.caption_length, whose, remedy);
  agree(path_b, "caption width", b.caption_width, a.caption_width, whose, remedy);
  agree(path_b, "caption store", std::string(name_of(b.caption_store)), std::string(name_of(a.caption_store)),
        whose, remedy);
  agree(path_b, "list of groups", names(b.groups), names(a.groups), whose, remedy);
  agree(path_b, "list of subgroups", names(b.subgroups), names(a.subgroups), whose, remedy);
}

void check_expected(const ShardHeader& header, const std::string& path, const DatasetExpectation& expected) {
  const std::string whose = "the configuration";
  const auto want = [&](const char* what, const auto& found, const auto& wanted, const char* remedy) {
    if (wanted) agree(path, what, found, *wanted, whose, remedy);
  };
  const char* codec =
      "Name the codec that made the data in the configuration, or build the data with the other one.";
  const char* text =
      "Name the text encoder that made the data in the configuration, or build the data with the other one.";
  const char* width = "Give the model the sizes of the data, or build the data with another text encoder.";
  want("codec", header.codec, expected.codec, codec);
  want("codec configuration", header.codec_config, expected.codec_config, codec);
  want("number of latent channels", header.channels, expected.channels, codec);
  want("text encoder", header.text_encoder, expected.text_encoder, text);
  want("text encoder configuration", header.text_encoder_config, expected.text_encoder_config, text);
  want("caption length", header.caption_length, expected.caption_length, width);
  want("caption width", header.caption_width, expected.caption_width, width);
  if (expected.control && header.control.empty()) {
    throw Error("this shard has no control maps, which the model's adapter reads.", path,
                "Build the data with `tessera data build ... --control NAME`, or --config of this run.");
  }
  want("source of control maps", header.control, expected.control,
       "Give [control] the settings that the data was built with, or build it with these.");
  if (expected.needs_all_positions && header.caption_store != CaptionStore::all) {
    throw Error(
        "this shard keeps only the real positions of captions, but the model attends to padding too.", path,
        "Build the data with a text encoder that stores all positions, or choose a caption conditioner that "
        "ignores padding.");
  }
}

}  // namespace

Dataset::Dataset(ShardIndex index, const DatasetExpectation& expected, std::size_t open_shards)
    : index_(std::move(index)), open_limit_(std::max<std::size_t>(open_shards, 1)) {
  if (index_.shards() == 0) (void)find_shards({});  // says that there are none
  header_ = index_.header(0);
  check_expected(*header_, path(0), expected);
  for (std::size_t shard = 0; shard < index_.shards(); ++shard) {
    if (index_.header(shard) != header_) check_same(*header_, path(0), *index_.header(shard), path(shard));
    const ShardLayout layout = index_.layout(shard);
    records_ += layout.records;
    add_buckets(shard, layout);
  }
  std::ranges::sort(buckets_, {}, &DatasetBucket::ratio);
  for (DatasetBucket& bucket : buckets_) {  // shards after the last one with such records
    bucket.shard_records.resize(shards());
    bucket.shard_first.resize(shards());
  }
  if (expected.resolution) (void)resolution_index(*expected.resolution);
}

void Dataset::add_buckets(std::size_t shard, const ShardLayout& layout) {
  std::uint64_t first = 0;
  for (const ShardBucket& found : layout.buckets) {
    const double ratio = key_ratio(found.grids.back().height, found.grids.back().width);
    auto at = std::ranges::find(buckets_, ratio, &DatasetBucket::ratio);
    if (at == buckets_.end()) {
      buckets_.push_back({ratio, found.grids, 0, {}, {}});
      at = buckets_.end() - 1;
      at->shard_records.reserve(shards());
      at->shard_first.reserve(shards());
    }
    for (std::size_t r = 0; r < found.grids.size(); ++r) {
      if (found.grids[r] == at->grids[r]) continue;
      const auto with_it = static_cast<std::size_t>(
          std::ranges::find_if(at->shard_records, [](std::uint64_t n) { return n > 0; }) -
          at->shard_records.begin());
      throw Error("latents of the aspect ratio " + ratio_text(ratio) + " are " + text_of(found.grids[r]) +
                      " here at resolution " + std::to_string(header_->resolutions[r]) + ", but " +
                      text_of(at->grids[r]) + " in shard '" + path(with_it) + "'.",
                  layout.path, "Build all shards with the same sizes and the same unit of aspect buckets.");
    }
    at->records += found.records;
    at->shard_records.resize(shard + 1);
    at->shard_first.resize(shard + 1);
    at->shard_records[shard] = found.records;
    at->shard_first[shard] = first;
    first += found.records;
  }
}

std::vector<std::uint64_t> Dataset::shard_records() const {
  std::vector<std::uint64_t> records(shards());
  for (const DatasetBucket& bucket : buckets_) {
    for (std::size_t s = 0; s < records.size(); ++s) records[s] += bucket.shard_records[s];
  }
  return records;
}

std::size_t Dataset::resolution_index(std::int64_t resolution) const {
  const auto& all = header_->resolutions;
  const auto at = std::find(all.begin(), all.end(), resolution);
  if (at != all.end()) return static_cast<std::size_t>(at - all.begin());
  std::string there;
  for (const std::int64_t side : all) there += (there.empty() ? "" : ", ") + std::to_string(side);
  throw Error("the configuration asks for resolution " + std::to_string(resolution) +
                  ", but the shards hold " + there + ".",
              path(0), "Ask for a resolution that is there, or build the data with this one too.");
}

Grid Dataset::common_grid(std::size_t resolution) const {
  const DatasetBucket& first = buckets_.front();
  for (const DatasetBucket& bucket : buckets_) {
    if (bucket.grids.at(resolution) == first.grids.at(resolution)) continue;
    const auto with_it = static_cast<std::size_t>(
        std::ranges::find_if(bucket.shard_records, [](std::uint64_t n) { return n > 0; }) -
        bucket.shard_records.begin());
    throw Error("latents of " + text_of(first.grids[resolution]) + " and of " +
                    text_of(bucket.grids[resolution]) + " are mixed, but a batch takes one aspect ratio.",
                path(with_it),
                "Build the data without --buckets, so that all latents have one size, or train in aspect "
                "buckets.");
  }
  return first.grids.at(resolution);
}

void Dataset::make_room(std::size_t shards) const {
  // Besides the shards: checkpoints, logs, and what the ranks reach each other through.
  constexpr std::size_t others = 256;
  const std::lock_guard lock(mutex_);
  if (shards <= open_limit_) return;
  const std::size_t allowed = io::allow_open_files(shards + others);
  if (allowed < shards + others) {
    throw Error("the data order keeps up to " + std::to_string(shards) +
                    " shards open, which with other files is " + std::to_string(shards + others) +
                    ", but this process may open only " + std::to_string(allowed) + ".",
                path(0), "Lower [data] window_shards, or raise the limit (`ulimit -n`).");
  }
  open_limit_ = shards;
}

void Dataset::close_shards() const {
  const std::lock_guard lock(mutex_);
  open_.clear();
}

std::shared_ptr<const ShardReader> Dataset::reader(std::size_t shard) const {
  const std::lock_guard lock(mutex_);
  const auto found =
      std::find_if(open_.begin(), open_.end(), [&](const auto& entry) { return entry.shard == shard; });
  if (found != open_.end()) {
    open_.splice(open_.begin(), open_, found);
  } else {
    open_.push_front({shard, std::make_shared<const ShardReader>(header_, layout(shard))});
    if (open_.size() > open_limit_) open_.pop_back();
  }
  return open_.front().reader;
}

}  // namespace tessera::data
