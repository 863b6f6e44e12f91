#include "data/shard_index.hpp"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <limits>
#include <map>
#include <numeric>
#include <optional>
#include <set>
#include <unordered_map>

#include "base/hash.hpp"
#include "base/log.hpp"
#include "data/layout_bytes.hpp"
#include "data/shard_writer.hpp"
#include "io/file_seal.hpp"

namespace tessera::data {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kMagic = "TESSIDX\n";
constexpr std::uint64_t kVersion = 1;
constexpr std::uint64_t kAny = std::numeric_limits<std::uint64_t>::max();
// Below this many shards opening them is a matter of a blink, and a folder is left as it is.
constexpr std::size_t kWorthAnIndex = 64;

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

bool is_folder(const std::string& path) {
  std::error_code reason;
  return fs::is_directory(path, reason);
}

std::string name_of_file(const std::string& path) { return fs::path(path).filename().string(); }

// The index file of a folder; none when there is none, and none with a warning when it is damaged.
std::optional<ShardIndex> read_index(const std::string& folder) {
  const std::string path = index_of(folder);
  std::error_code reason;
  if (!fs::exists(path, reason)) return std::nullopt;
  try {
    return ShardIndex::decoded(io::read_file(path, std::size_t{1} << 34), path);
  } catch (const Error& error) {
    log_warning(path + ": " + error.summary() + " It is not used.");
    return std::nullopt;
  }
}

}  // namespace

std::string index_of(const std::string& folder) { return (fs::path(folder) / "shards.index").string(); }

std::vector<std::string> find_shards(const std::vector<std::string>& paths) {
  if (paths.empty()) {
    throw Error("no shard is named: the data set is empty.", "data",
                "Name a folder of shards in the configuration.");
  }
  std::vector<std::string> shards;
  for (const std::string& path : paths) {
    if (is_folder(path)) {
      const std::vector<std::string> inside = shards_in(path);
      shards.insert(shards.end(), inside.begin(), inside.end());
    } else {
      (void)io::File::open_read(path);  // the system's reason, before any shard is read
      shards.push_back(path);
    }
  }
  return shards;
}

ShardIndex ShardIndex::of(const std::vector<std::string>& paths) {
  ShardIndex index;
  if (paths.empty()) (void)find_shards(paths);  // says so
  for (const std::string& path : paths) {
    if (!is_folder(path)) {
      for (const std::string& file : find_shards({path})) index.add(inspect_shard(file), io::stamp_of(file));
    } else if (index.add_folder(path) > 0) {
      index.write(path);
    }
    index.end_path();
  }
  return index;
}

std::size_t ShardIndex::add_folder(const std::string& folder) {
  const std::vector<std::string> files = shards_in(folder);
  const std::optional<ShardIndex> known = read_index(folder);
  std::unordered_map<std::string_view, std::size_t> by_name;
  if (known) {
    for (std::size_t i = 0; i < known->shards(); ++i) by_name.emplace(known->path(i), i);
  }
  // What the index says of a file, if that is still true; else why not.
  const auto right = [&](const std::string& file, io::FileStamp stamp) -> std::optional<ShardInfo> {
    const auto at = by_name.find(name_of_file(file));
    if (at == by_name.end()) return std::nullopt;
    const Entry& entry = known->entries_[at->second];
    if (entry.stamp != stamp && (entry.stamp.bytes != stamp.bytes ||
                                 io::seal_checksum(io::File::open_read(file), "shard") != entry.seal_crc)) {
      return std::nullopt;
    }
    ShardInfo info{*known->header(at->second), known->layout(at->second)};
    info.layout.path = file;
    return info;
  };
  std::size_t inspected = 0, renewed = 0, changed = 0;
  for (const std::string& file : files) {
    const io::FileStamp stamp = io::stamp_of(file);
    std::optional<ShardInfo> info = right(file, stamp);
    if (!info) {
      changed += by_name.contains(name_of_file(file)) ? 1 : 0;
      if (++inspected == kWorthAnIndex) {
        log_info("Reading what is in the " + std::to_string(files.size()) + " shards of " + folder + ".");
      }
      info = inspect_shard(file);
    } else if (known->entries_[by_name.at(name_of_file(file))].stamp != stamp) {
      ++renewed;
    }
    add(*info, stamp);
  }
  if (changed > 0) {
    log_warning(std::to_string(changed) + " shards of " + folder +
                " are not those that its index tells of, and were read anew.");
  }
  return inspected + renewed;
}

void ShardIndex::write(const std::string& folder) const {
  const std::size_t before = std::accumulate(by_path_.begin(), by_path_.end(), std::size_t{0});
  if (shards() - before < kWorthAnIndex) return;
  ShardIndex own;
  own.headers_ = headers_;
  own.entries_.assign(entries_.begin() + static_cast<std::ptrdiff_t>(before), entries_.end());
  for (Entry& entry : own.entries_) entry.path = name_of_file(entry.path);
  try {
    io::replace_file(index_of(folder), own.encoded());
  } catch (const Error& error) {  // a folder that is not ours to write in
    log_debug("No index was written: " + error.summary());
  }
}

void ShardIndex::end_path() {
  by_path_.push_back(entries_.size() - std::accumulate(by_path_.begin(), by_path_.end(), std::size_t{0}));
}

void ShardIndex::add(const ShardInfo& info, io::FileStamp stamp) {
  // All shards of a data set have one header, or it is refused; so the last one is nearly always right.
  if (headers_.empty() || !(*headers_.back() == info.header)) {
    headers_.push_back(std::make_shared<const ShardHeader>(info.header));
  }
  entries_.push_back({info.layout.path, stamp, static_cast<std::uint32_t>(headers_.size() - 1),
                      info.layout.seal_crc, encoded_layout(info.layout)});
}

ShardLayout ShardIndex::layout(std::size_t shard) const {
  const Entry& entry = entries_.at(shard);
  ShardLayout layout = decoded_layout(entry.layout, *headers_[entry.header], entry.stamp.bytes, entry.path);
  layout.seal_crc = entry.seal_crc;
  return layout;
}

std::string ShardIndex::encoded() const {
  ByteWriter out;
  out.bytes() = kMagic;
  out.number(kVersion);
  out.number(headers_.size());
  for (const auto& header : headers_) out.text(encoded_header(*header));
  out.number(by_path_.size());
  for (const std::size_t shards : by_path_) out.number(shards);
  out.number(entries_.size());
  for (const Entry& entry : entries_) {
    out.text(entry.path);
    out.number(entry.stamp.bytes);
    out.number(static_cast<std::uint64_t>(std::max<std::int64_t>(entry.stamp.modified, 0)));
    out.number(entry.header);
    out.number(entry.seal_crc);
    out.text(entry.layout);
  }
  const std::uint32_t crc = crc32c(out.bytes().data(), out.bytes().size());
  out.bytes().append(reinterpret_cast<const char*>(&crc), sizeof(crc));
  return std::move(out.bytes());
}

ShardIndex ShardIndex::decoded(std::string_view bytes, const std::string& where) {
  ShardIndex index;
  ByteReader whole(bytes, where);
  std::uint32_t crc = 0;
  if (bytes.size() < kMagic.size() + sizeof(crc)) whole.refuse();
  const std::string_view covered = bytes.substr(0, bytes.size() - sizeof(crc));
  std::memcpy(&crc, bytes.data() + covered.size(), sizeof(crc));
  if (!covered.starts_with(kMagic) || crc != crc32c(covered.data(), covered.size())) whole.refuse();
  ByteReader in(covered.substr(kMagic.size()), where);
  if (in.number() != kVersion) {
    throw Error("this index of shards has a version that this program does not know.", where,
                "Remove it; it is made anew from the shards.");
  }
  for (std::size_t n = in.count(); n > 0; --n) {
    index.headers_.push_back(std::make_shared<const ShardHeader>(decoded_header(in.text(), where)));
  }
  for (std::size_t n = in.count(); n > 0; --n) index.by_path_.push_back(in.number());
  const std::size_t shards = in.count();
  index.entries_.reserve(shards);
  for (std::size_t i = 0; i < shards; ++i) {
    Entry entry;
    entry.path = in.text();
    entry.stamp.bytes = in.number();
    entry.stamp.modified = static_cast<std::int64_t>(in.number_up_to(kAny >> 1));
    entry.header = static_cast<std::uint32_t>(in.number_up_to(index.headers_.size()));
    if (entry.header == index.headers_.size()) in.refuse();
    entry.seal_crc = static_cast<std::uint32_t>(in.number_up_to(0xFFFFFFFFU));
    entry.layout = in.text();
    index.entries_.push_back(std::move(entry));
  }
  if (!in.at_end()) in.refuse();
  return index;
}

}  // namespace tessera::data
