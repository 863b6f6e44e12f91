#include "data/shard.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <set>

#include "io/file_seal.hpp"

namespace tessera::data {
namespace {

using io::Extent;
using io::Hdf5Dataset;
using io::Hdf5File;
using io::StoredType;

struct TableDescription {
  const char* name;
  StoredType type;
};
constexpr std::array<TableDescription, kShardTables> kTables{{{"/records/crc", StoredType::u32},
                                                              {"/records/size", StoredType::i32},
                                                              {"/records/label", StoredType::i32},
                                                              {"/records/caption_first", StoredType::i64},
                                                              {"/records/id_first", StoredType::i64},
                                                              {"/records/id", StoredType::u8},
                                                              {"/captions/crc", StoredType::u32},
                                                              {"/captions/len_real", StoredType::i32},
                                                              {"/captions/text_first", StoredType::i64},
                                                              {"/captions/text", StoredType::u8},
                                                              {"/records/control_crc", StoredType::u32}}};

[[noreturn]] void damaged(const std::string& path, const std::string& what) {
  throw Error("this shard is damaged: " + what + ".", path,
              "Copy the shard from where it was made, or make it again with `tessera data build`.");
}

std::uint64_t integer_in(const Hdf5File& file, const char* name, std::int64_t low, std::int64_t high) {
  const std::int64_t value = file.integer_attribute("/", name);
  if (value < low || value > high) {
    damaged(file.path(), std::string(name) + " is " + std::to_string(value) + ", not between " +
                             std::to_string(low) + " and " + std::to_string(high));
  }
  return static_cast<std::uint64_t>(value);
}

template <class Choice>
Choice choice_of(const Hdf5File& file, const char* name, std::initializer_list<Choice> choices) {
  const std::string value = file.string_attribute("/", name);
  for (const Choice choice : choices) {
    if (value == name_of(choice)) return choice;
  }
  damaged(file.path(), std::string(name) + " is '" + value + "', which is unknown");
}

std::string joined(const std::vector<std::uint64_t>& shape) {
  std::string text;
  for (const std::uint64_t size : shape) text += (text.empty() ? "" : " x ") + std::to_string(size);
  return text;
}

// The extent of a data set that must be contiguous, of the given type and shape.
Extent extent_of(const Hdf5File& file, const std::string& name, StoredType type,
                 const std::vector<std::uint64_t>& shape) {
  if (!file.exists(name)) damaged(file.path(), "data set '" + name + "' is missing");
  const Hdf5Dataset found = file.dataset(name);
  if (!found.extent || found.type != type || found.shape != shape) {
    damaged(file.path(), "data set '" + name + "' should be contiguous " + io::name_of(type) + " " +
                             joined(shape) + ", but is " + io::name_of(found.type) + " " +
                             joined(found.shape));
  }
  return *found.extent;
}

constexpr std::int64_t kMany = std::int64_t{1} << 48;  // records, captions: products stay below 2^63
constexpr std::int64_t kWide = 1 << 24;                // sizes of one dimension

ShardHeader read_header(const Hdf5File& file) {
  if (!file.has_attribute("/", "format") || file.string_attribute("/", "format") != kShardFormat) {
    throw Error("this file is not a shard: it lacks the attribute format = 'tessera-shard'.", file.path(),
                "Name a file that `tessera data build` made.");
  }
  const std::int64_t version = file.integer_attribute("/", "format_version");
  if (version != kShardVersion) {
    throw Error("this shard has format version " + std::to_string(version) + ", but this program reads " +
                    std::to_string(kShardVersion) + ".",
                file.path(), "Make it again with `tessera data build`, or use the release that wrote it.");
  }
  ShardHeader header;
  header.codec = file.string_attribute("/", "codec");
  header.codec_config = file.string_attribute("/", "codec_config");
  header.text_encoder = file.string_attribute("/", "text_encoder");
  header.text_encoder_config = file.string_attribute("/", "text_encoder_config");
  header.latent = choice_of(file, "latent", {LatentKind::sample, LatentKind::posterior});
  header.caption_store = choice_of(file, "caption_store", {CaptionStore::all, CaptionStore::real});
  header.channels = static_cast<std::uint32_t>(integer_in(file, "latent_channels", 1, kWide));
  header.caption_length = static_cast<std::uint32_t>(integer_in(file, "caption_length", 0, kWide));
  header.caption_width = static_cast<std::uint32_t>(integer_in(file, "caption_width", 0, kWide));
  header.resolutions = file.integers_attribute("/", "resolutions");
  const auto& sides = header.resolutions;
  if (sides.empty() || sides.front() < 1 || sides.back() > kWide ||
      std::adjacent_find(sides.begin(), sides.end(), std::greater_equal<>()) != sides.end()) {
    damaged(file.path(), "its resolutions are not ascending positive numbers");
  }
  if (file.has_attribute("/", "control")) header.control = file.string_attribute("/", "control");
  header.groups = file.read_strings("/labels/groups");
  header.subgroups = file.read_strings("/labels/subgroups");
  return header;
}

std::vector<ShardBucket> read_buckets(const Hdf5File& file, const ShardHeader& header,
                                      std::uint64_t records) {
  const std::vector<std::int64_t> counts = file.integers_attribute("/", "bucket_records");
  const std::vector<std::int64_t> grids = file.integers_attribute("/", "bucket_grids");
  const std::size_t resolutions = header.resolutions.size();
  if (grids.size() != counts.size() * resolutions * 2) damaged(file.path(), "its bucket tables disagree");
  std::vector<ShardBucket> buckets(counts.size());
  std::uint64_t total = 0;
  std::set<std::vector<Grid>> seen;
  for (std::size_t k = 0; k < buckets.size(); ++k) {
    if (counts[k] < 1 || counts[k] > kMany) damaged(file.path(), "a bucket is empty");
    buckets[k].records = static_cast<std::uint64_t>(counts[k]);
    total += buckets[k].records;
    for (std::size_t r = 0; r < resolutions; ++r) {
      const std::int64_t height = grids[(k * resolutions + r) * 2];
      const std::int64_t width = grids[(k * resolutions + r) * 2 + 1];
      if (height < 1 || width < 1 || height > kWide || width > kWide) {
        damaged(file.path(), "a bucket has a latent of no or absurd size");
      }
      buckets[k].grids.push_back({static_cast<std::uint32_t>(height), static_cast<std::uint32_t>(width)});
    }
    if (!seen.insert(buckets[k].grids).second) damaged(file.path(), "two of its buckets are the same");
  }
  if (total != records) damaged(file.path(), "its bucket counts do not add up to its records");
  return buckets;
}

void locate_latents(const Hdf5File& file, ShardHeader& header, std::vector<ShardBucket>& buckets) {
  const std::string first = latents_of(header, "/latents", 0, 0);
  if (!file.exists(first)) damaged(file.path(), "data set '" + first + "' is missing");
  header.latent_type = file.dataset(first).type;
  if (header.latent_type != StoredType::f16 && header.latent_type != StoredType::f32) {
    damaged(file.path(), std::string("its latents are ") + io::name_of(header.latent_type));
  }
  for (std::size_t k = 0; k < buckets.size(); ++k) {
    for (std::size_t r = 0; r < header.resolutions.size(); ++r) {
      const Grid grid = buckets[k].grids[r];
      std::vector<std::uint64_t> shape{buckets[k].records, header.channels, grid.height, grid.width};
      if (header.latent == LatentKind::posterior) shape.insert(shape.begin() + 1, 2);
      const auto locate = [&](const char* group) {
        return extent_of(file, latents_of(header, group, r, k), header.latent_type, shape);
      };
      buckets[k].latents.push_back(locate("/latents"));
      if (!header.control.empty()) buckets[k].controls.push_back(locate("/controls"));
    }
  }
}

std::uint64_t length_of(const Hdf5File& file, const char* name) {
  if (!file.exists(name)) damaged(file.path(), std::string("data set '") + name + "' is missing");
  const std::vector<std::uint64_t> shape = file.dataset(name).shape;
  if (shape.empty()) damaged(file.path(), std::string("data set '") + name + "' has no dimension");
  return shape.front();
}

std::vector<Extent> locate_tables(const Hdf5File& file, const ShardHeader& header, std::uint64_t n,
                                  std::uint64_t m) {
  const std::uint64_t resolutions = header.resolutions.size();
  const std::array<std::vector<std::uint64_t>, kShardTables> shapes{
      {{n, resolutions},
       {n, 2},
       {n, 2},
       {n + 1},
       {n + 1},
       {length_of(file, dataset_of(ShardTable::id))},
       {m},
       {m},
       {m + 1},
       {length_of(file, dataset_of(ShardTable::text))},
       {n, resolutions}}};
  std::vector<Extent> tables;
  for (std::size_t t = 0; t < kShardTables; ++t) {
    if (t == static_cast<std::size_t>(ShardTable::control_crc) && header.control.empty()) {
      tables.push_back({});
      continue;
    }
    tables.push_back(extent_of(file, kTables[t].name, kTables[t].type, shapes[t]));
  }
  return tables;
}

}  // namespace

const char* dataset_of(ShardTable table) { return kTables[static_cast<std::size_t>(table)].name; }
StoredType type_of(ShardTable table) { return kTables[static_cast<std::size_t>(table)].type; }
std::string latents_of(const ShardHeader& header, const char* group, std::size_t resolution,
                       std::size_t bucket) {
  return std::string(group) + "/" + std::to_string(header.resolutions.at(resolution)) + "/" +
         std::to_string(bucket);
}
const char* name_of(LatentKind kind) { return kind == LatentKind::sample ? "sample" : "posterior"; }
const char* name_of(CaptionStore store) { return store == CaptionStore::all ? "all" : "real"; }

ShardInfo inspect_shard(const std::string& path) {
  io::check_seal(path, "shard");
  ShardInfo info = describe_shard(path);
  info.layout.seal_crc = io::seal_checksum(io::File::open_read(path), "shard");
  return info;
}

ShardInfo describe_shard(const std::string& path) {
  const Hdf5File file = Hdf5File::open(path);
  ShardInfo info;
  info.header = read_header(file);
  const ShardHeader& header = info.header;
  ShardLayout& layout = info.layout;
  layout.path = path;
  layout.file_bytes = io::File::open_read(path).size();
  layout.records = integer_in(file, "records", 1, kMany);
  layout.captions = integer_in(file, "captions", 0, kMany);
  layout.tables_crc = static_cast<std::uint32_t>(
      integer_in(file, "tables_crc32c", 0, std::numeric_limits<std::uint32_t>::max()));
  layout.buckets = read_buckets(file, header, layout.records);
  locate_latents(file, info.header, layout.buckets);
  layout.tables = locate_tables(file, header, layout.records, layout.captions);
  const char* features = "/captions/features";
  layout.features =
      extent_of(file, features, StoredType::f16,
                header.caption_store == CaptionStore::all
                    ? std::vector<std::uint64_t>{layout.captions, header.caption_length, header.caption_width}
                    : std::vector<std::uint64_t>{length_of(file, features), header.caption_width});
  return info;
}

}  // namespace tessera::data
