#include "sample_files.hpp"

#include <cstdint>
#include <vector>

#include "base/hash.hpp"
#include "checkpoint/checkpoint.hpp"
#include "data/shard_writer.hpp"
#include "io/file_seal.hpp"
#include "io/hdf5.hpp"

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

void write_sample_checkpoint(const std::string& path) {
  const std::vector<std::string> names{"model/blocks.0.weight", "average/blocks.0.weight"};
  const std::vector<float> values{1, 2, 3, 4, 5, 6};
  const std::vector<std::uint64_t> shape{2, 3};
  const std::uint64_t user_block = io::seal_bytes(names.size());
  std::vector<io::Extent> extents;
  auto file = io::Hdf5File::create(path, {user_block, 512});
  file.set_attribute("/", "format", checkpoint::format_name);
  file.set_attribute("/", "format_version", checkpoint::format_version);
  file.set_attribute("/", "precision", "float32");
  file.set_attribute("/", "stage_name", "16px");
  for (const char* name : {"stage", "stage_step", "global_step", "samples_seen", "attempt",
                           "optimizer_updates", "average_active", "loss_steps"}) {
    file.set_attribute("/", name, std::int64_t{1});
  }
  file.set_attribute("/", "loss_sum", 0.5);
  file.write_strings("/config", std::vector<std::string>{"[run]\nseed = 1\n"});
  file.write_strings("/plugins", std::vector<std::string>{"dit 1", "edm 1"});
  file.write_strings("/names", names);
  std::vector<std::uint32_t> checksums;
  for (const std::string& name : names) {
    extents.push_back(file.create_dataset("/" + name, io::StoredType::f32, shape));
    file.write("/" + name, io::StoredType::f32, values.data());
    checksums.push_back(crc32c(values.data(), values.size() * sizeof(float)));
  }
  file.create_dataset("/checksums", io::StoredType::u32, std::vector<std::uint64_t>{checksums.size()});
  file.write("/checksums", io::StoredType::u32, checksums.data());
  file.close();
  io::seal_file(path, user_block, extents);
}

}  // namespace tessera::fuzz
