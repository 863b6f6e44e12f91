#include "data/dataset.hpp"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <map>
#include <set>

#include "data/aspect_buckets.hpp"
#include "data/shard_writer.hpp"

namespace tessera::data {
namespace {

namespace fs = std::filesystem;

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

// The shards of a folder; file names of the form shard-00001-of-00004.h5 must be complete.
std::vector<std::string> shards_in(const std::string& folder) {
  std::vector<std::string> found;
  std::map<std::size_t, std::set<std::size_t>> numbered;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() != ".h5") continue;
    found.push_back(entry.path().string());
    std::size_t index = 0, count = 0;
    const std::string name = entry.path().filename().string();
    if (std::sscanf(name.c_str(), "shard-%zu-of-%zu.h5", &index, &count) == 2) numbered[count].insert(index);
  }
  for (const auto& [count, indices] : numbered) {
    for (std::size_t i = 0; i < count && indices.size() < count; ++i) {
      if (indices.contains(i)) continue;
      throw Error("shard '" + shard_name(i, count) + "' is missing: this folder holds " +
                      std::to_string(indices.size()) + " of " + std::to_string(count) + " shards.",
                  folder, "Copy the missing shards there, or name the shards to use one by one.");
    }
  }
  if (found.empty()) {
    throw Error("this folder holds no shard (*.h5): the data set is empty.", folder,
                "Build one with `tessera data build`, or correct the path.");
  }
  std::sort(found.begin(), found.end());
  return found;
}

}  // namespace

std::vector<std::string> find_shards(const std::vector<std::string>& paths) {
  if (paths.empty()) {
    throw Error("no shard is named: the data set is empty.", "data",
                "Name a folder of shards in the configuration.");
  }
  std::vector<std::string> shards;
  for (const std::string& path : paths) {
    std::error_code reason;
    if (fs::is_directory(path, reason)) {
      const std::vector<std::string> inside = shards_in(path);
      shards.insert(shards.end(), inside.begin(), inside.end());
    } else {
      (void)io::File::open_read(path);  // the system's reason, before any shard is read
      shards.push_back(path);
    }
  }
  return shards;
}

Dataset::Dataset(const std::vector<std::string>& paths, const DatasetExpectation& expected,
                 std::size_t open_shards)
    : open_limit_(std::max<std::size_t>(open_shards, 1)) {
  std::vector<std::string> files;
  for (const std::string& path : paths) {
    const std::vector<std::string> found = find_shards({path});
    shards_by_path_.push_back(found.size());
    files.insert(files.end(), found.begin(), found.end());
  }
  if (files.empty()) files = find_shards({});  // says that there are none
  for (const std::string& path : files) {
    ShardInfo info = inspect_shard(path);
    if (header_) {
      check_same(*header_, layouts_.front().path, info.header, path);
    } else {
      check_expected(info.header, path, expected);
      header_ = std::make_shared<const ShardHeader>(std::move(info.header));
    }
    records_ += info.layout.records;
    layouts_.push_back(std::move(info.layout));
    add_buckets(layouts_.size() - 1);
  }
  std::ranges::sort(buckets_, {}, &DatasetBucket::ratio);
  for (DatasetBucket& bucket : buckets_) {  // shards after the last one with such records
    bucket.shard_records.resize(layouts_.size());
    bucket.shard_first.resize(layouts_.size());
  }
  if (expected.resolution) (void)resolution_index(*expected.resolution);
}

void Dataset::add_buckets(std::size_t shard) {
  std::uint64_t first = 0;
  for (const ShardBucket& found : layouts_[shard].buckets) {
    const double ratio = key_ratio(found.grids.back().height, found.grids.back().width);
    auto at = std::ranges::find(buckets_, ratio, &DatasetBucket::ratio);
    if (at == buckets_.end()) {
      buckets_.push_back({ratio, found.grids, 0, {}, {}});
      at = buckets_.end() - 1;
    }
    for (std::size_t r = 0; r < found.grids.size(); ++r) {
      if (found.grids[r] == at->grids[r]) continue;
      const auto with_it = static_cast<std::size_t>(
          std::ranges::find_if(at->shard_records, [](std::uint64_t n) { return n > 0; }) -
          at->shard_records.begin());
      throw Error("latents of the aspect ratio " + ratio_text(ratio) + " are " + text_of(found.grids[r]) +
                      " here at resolution " + std::to_string(header_->resolutions[r]) + ", but " +
                      text_of(at->grids[r]) + " in shard '" + layouts_[with_it].path + "'.",
                  layouts_[shard].path,
                  "Build all shards with the same sizes and the same unit of aspect buckets.");
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
  std::vector<std::uint64_t> records;
  for (const ShardLayout& layout : layouts_) records.push_back(layout.records);
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
              layouts_.front().path,
              "Ask for a resolution that is there, or build the data with this one too.");
}

Grid Dataset::common_grid(std::size_t resolution) const {
  const Grid first = layouts_.front().buckets.front().grids.at(resolution);
  for (const ShardLayout& layout : layouts_) {
    for (const ShardBucket& bucket : layout.buckets) {
      const Grid grid = bucket.grids[resolution];
      if (grid == first) continue;
      throw Error("latents of " + text_of(first) + " and of " + text_of(grid) +
                      " are mixed, but a batch takes one aspect ratio.",
                  layout.path,
                  "Build the data without --buckets, so that all latents have one size, or train in aspect "
                  "buckets.");
    }
  }
  return first;
}

std::shared_ptr<const ShardReader> Dataset::reader(std::size_t shard) const {
  const std::lock_guard lock(mutex_);
  const auto found =
      std::find_if(open_.begin(), open_.end(), [&](const auto& entry) { return entry.shard == shard; });
  if (found != open_.end()) {
    open_.splice(open_.begin(), open_, found);
  } else {
    open_.push_front({shard, std::make_shared<const ShardReader>(header_, layouts_.at(shard))});
    if (open_.size() > open_limit_) open_.pop_back();
  }
  return open_.front().reader;
}

}  // namespace tessera::data
