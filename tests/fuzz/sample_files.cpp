#include "sample_files.hpp"

#include <array>

#include "base/hash.hpp"
#include "checkpoint/checkpoint.hpp"
#include "data/shard_writer.hpp"
#include "io/file_seal.hpp"

namespace tessera::fuzz {

void write_sample_shard(const std::string& path) {
  data::ShardHeader header;
  header.codec = "pixel";
  header.codec_config = "{}";
  header.text_encoder = "word-hash";
  header.text_encoder_config = "{}";
  header.channels = 1;
  header.resolutions = {2, 4};
  header.caption_length = 3;
  header.caption_width = 2;
  header.caption_store = data::CaptionStore::real;
  header.groups = {"shapes"};
  header.subgroups = {"hearts", "circles"};
  data::ShardWriter writer(path, header);
  for (int i = 0; i < 3; ++i) {
    data::Record record;
    record.id = "picture-" + std::to_string(i);
    record.width = record.height = 8;
    record.group = i - 1 < 0 ? -1 : 0;
    record.subgroup = i - 1;
    for (const std::uint32_t side : {2U, 4U}) {
      const data::Grid grid{side, i == 2 ? 2 * side : side};
      record.latents.push_back({grid, std::vector<float>(std::size_t{grid.height} * grid.width, 0.5F)});
    }
    for (int c = 0; c <= i % 2; ++c)
      record.captions.push_back({"red heart", static_cast<std::uint32_t>(i), std::vector<float>(6, 0.25F)});
    writer.add(record);
  }
  writer.finish();
}

namespace {

constexpr std::array<const char*, 2> tensors{"model/blocks.0.weight", "average/blocks.0.weight"};
constexpr std::array<double, 64> zeros{};

}  // namespace

CheckpointContent::CheckpointContent()
    : texts{{"format", checkpoint::format_name}, {"precision", "float32"}, {"stage_name", "16px"}},
      integers{{"format_version", checkpoint::format_version},
               {"stage", 1},
               {"stage_step", 1},
               {"global_step", 1},
               {"samples_seen", 1},
               {"attempt", 1},
               {"optimizer_updates", 1},
               {"average_active", 1},
               {"loss_steps", 1}},
      config{"[run]\nseed = 1\n"},
      plugins{"dit 1", "edm 1"},
      names(tensors.begin(), tensors.end()),
      checksums(names.size(), crc32c(zeros.data(), 6 * sizeof(float))) {}

void write_checkpoint(const std::string& path, const CheckpointContent& content) {
  const std::uint64_t user_block = io::seal_bytes(tensors.size());
  std::vector<io::Extent> extents;
  auto file = io::Hdf5File::create(path, {user_block, 512});
  for (const auto& [name, value] : content.texts) file.set_attribute("/", name, value);
  for (const auto& [name, value] : content.integers) file.set_attribute("/", name, value);
  file.set_attribute("/", "loss_sum", 0.5);
  file.write_strings("/config", content.config);
  file.write_strings("/plugins", content.plugins);
  file.write_strings("/names", content.names);
  std::size_t bytes = io::size_of(content.type);
  for (const std::uint64_t side : content.shape) bytes *= side;
  if (bytes > sizeof(zeros)) throw Error("the tensors of a sample may have 64 numbers at most");
  for (const char* name : tensors) {
    extents.push_back(file.create_dataset(name, content.type, content.shape));
    if (bytes > 0) file.write(name, content.type, zeros.data());
  }
  const std::vector<std::uint64_t> sums{content.checksums.size()};
  file.create_dataset("/checksums", io::StoredType::u32, sums);
  if (sums[0] > 0) file.write("/checksums", io::StoredType::u32, content.checksums.data());
  file.close();
  io::seal_file(path, user_block, extents);
}

}  // namespace tessera::fuzz
