// A damaged shard is stopped by its seal, so the code behind the seal is tried with shards that are sealed
// and whose description lies. The bytes are edits, one after another:
//   0 ATTRIBUTE i64              one of the integer attributes
//   1 ATTRIBUTE COUNT i64...     one of the integer lists, of COUNT % 8 values
//   2 ATTRIBUTE COUNT byte...    one of the texts, of COUNT % 32 bytes
//   3 TABLE OFFSET u64           eight bytes in one of the tables

#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>

#include "base/error.hpp"
#include "base/hash.hpp"
#include "data/shard_reader.hpp"
#include "data/show.hpp"
#include "edits.hpp"
#include "io/file_seal.hpp"
#include "io/hdf5.hpp"
#include "memory_file.hpp"
#include "sample_files.hpp"
#include "targets.hpp"

namespace tessera::fuzz {
namespace {

constexpr std::array<const char*, 6> integers{"records",        "captions",      "latent_channels",
                                              "caption_length", "caption_width", "format_version"};
constexpr std::array<const char*, 3> lists{"resolutions", "bucket_records", "bucket_grids"};
constexpr std::array<const char*, 4> texts{"latent", "caption_store", "codec", "format"};

struct Sample {
  std::vector<std::uint8_t> bytes;
  data::ShardLayout layout;
  std::vector<io::Extent> sealed_around;
};

Sample make_sample() {
  const std::filesystem::path path =
      std::filesystem::temp_directory_path() / ("tessera-fuzz-" + std::to_string(::getpid()) + ".h5");
  std::filesystem::remove(path);
  write_sample_shard(path.string());
  const std::string content = io::read_file(path.string());
  Sample sample{{content.begin(), content.end()},
                data::inspect_shard(path.string()).layout,
                io::check_seal(path.string(), "shard")};
  std::filesystem::remove(path);
  return sample;
}

void edit_attributes(const std::string& path, EditReader edits, const Sample& sample) {
  auto shard = io::Hdf5File::open(path, io::Hdf5Access::read_write);
  while (!edits.done()) {
    const int kind = edits.take<std::uint8_t>() % 4;
    if (kind == 0) {
      const char* name = edits.choose(integers);
      shard.set_attribute("/", name, edits.take<std::int64_t>());
    } else if (kind == 1) {
      const char* name = edits.choose(lists);
      std::vector<std::int64_t> values(edits.take<std::uint8_t>() % 8U);
      for (std::int64_t& value : values) value = edits.take<std::int64_t>();
      shard.set_attribute("/", name, std::span<const std::int64_t>(values));
    } else if (kind == 2) {
      const char* name = edits.choose(texts);
      shard.set_attribute("/", name, edits.text());
    } else {
      const std::size_t table = edits.take<std::uint8_t>() % data::kShardTables;
      const io::Extent extent = sample.layout.tables[table];
      const std::uint64_t at = edits.take<std::uint8_t>();
      const auto value = edits.take<std::uint64_t>();
      if (at < extent.bytes) {
        const io::File raw = io::File::open_update(path);
        raw.write_at(&value, std::min<std::uint64_t>(sizeof(value), extent.bytes - at), extent.offset + at);
      }
    }
  }
  std::uint32_t sum = 0;
  const io::File raw = io::File::open_read(path);
  for (const io::Extent& extent : sample.layout.tables) {
    std::vector<char> table(extent.bytes);
    raw.read_at(table.data(), table.size(), extent.offset);
    sum = crc32c(table.data(), table.size(), sum);
  }
  shard.set_attribute("/", "tables_crc32c", std::int64_t{sum});
  shard.close();
}

}  // namespace

bool run_shard_contents(Bytes bytes) {
  static const Sample sample = make_sample();
  static MemoryFile file;
  file.assign(sample.bytes);
  try {
    edit_attributes(file.path(), EditReader(bytes), sample);
  } catch (const Error&) {
    return false;  // HDF5 refused the edit
  }
  try {
    io::seal_file(file.path(), io::seal_bytes(sample.sealed_around.size()), sample.sealed_around);
    const auto shard = data::ShardReader::open(file.path());
    for (std::size_t r = 0; r < shard->header().resolutions.size(); ++r)
      static_cast<void>(data::verify_shard(*shard, r));
    static_cast<void>(data::describe(*shard, shard->records()));
    return true;
  } catch (const Error&) {
    return false;
  }
}

}  // namespace tessera::fuzz
