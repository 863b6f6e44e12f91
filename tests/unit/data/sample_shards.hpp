#pragma once
// Small shards whose every value follows from the record's number, so that tests can say what they should
// read.

#include <string>
#include <vector>

#include "data/shard_reader.hpp"
#include "data/shard_writer.hpp"
#include "unit/io/temporary_folder.hpp"

namespace tessera::test {

inline data::ShardHeader sample_header() {
  data::ShardHeader header;
  header.codec = "pixel";
  header.codec_config = R"({"channels":3})";
  header.text_encoder = "word-hash";
  header.text_encoder_config = R"({"seed":1})";
  header.channels = 3;
  header.resolutions = {8, 16};
  header.caption_length = 5;
  header.caption_width = 4;
  header.groups = {"hearts", "fruit"};
  header.subgroups = {"a", "b", "c"};
  return header;
}

/// A value that float16 holds exactly.
inline float sample_value(std::uint64_t record, std::uint64_t what, std::uint64_t element) {
  return static_cast<float>((record * 7919 + what * 104729 + element * 31) % 2048) / 64.0F - 16.0F;
}

inline constexpr data::Grid kSquare{1, 1}, kWide{1, 2}, kTall{3, 1};

/// @param shape  how often the square's side fits into height and width.
inline data::Grid sample_grid(const data::ShardHeader& header, std::size_t resolution,
                              data::Grid shape = kSquare) {
  const auto side = static_cast<std::uint32_t>(header.resolutions[resolution] / 4);
  return {shape.height * side, shape.width * side};
}

inline data::Record sample_record(const data::ShardHeader& header, std::uint64_t number,
                                  data::Grid shape = kSquare) {
  data::Record record;
  record.id = "picture-" + std::to_string(number);
  record.width = static_cast<std::int32_t>(100 + number);
  record.height = static_cast<std::int32_t>(200 + number);
  record.group = static_cast<std::int32_t>(number % 3) - 1;
  record.subgroup = static_cast<std::int32_t>(number % 4) - 1;
  for (std::size_t r = 0; r < header.resolutions.size(); ++r) {
    data::Record::Latent latent{sample_grid(header, r, shape), {}};
    for (std::uint64_t e = 0; e < header.latent_values(latent.grid); ++e) {
      latent.values.push_back(sample_value(number, r, e));
    }
    if (!header.control.empty()) {
      record.controls.push_back({latent.grid, {}});
      for (std::uint64_t e = 0; e < latent.values.size(); ++e) {
        record.controls.back().values.push_back(sample_value(number, 20 + r, e));
      }
    }
    record.latents.push_back(std::move(latent));
  }
  for (std::uint64_t c = 0; c < 1 + number % 2; ++c) {
    data::Record::Caption caption{
        "caption " + std::to_string(c) + " of " + std::to_string(number) + " ❤", 0, {}};
    caption.len_real = static_cast<std::uint32_t>((number + c) % (header.caption_length + 1));
    for (std::uint64_t e = 0; e < std::uint64_t{header.caption_length} * header.caption_width; ++e) {
      caption.features.push_back(sample_value(number, 10 + c, e));
    }
    record.captions.push_back(std::move(caption));
  }
  return record;
}

/// Records [first, first + count) under a name in the folder.
inline std::string sample_shard(const TemporaryFolder& folder, const std::string& name, std::uint64_t first,
                                std::uint64_t count, const data::ShardHeader& header = sample_header()) {
  data::ShardWriter writer(folder / name, header);
  for (std::uint64_t i = 0; i < count; ++i) writer.add(sample_record(header, first + i));
  writer.finish();
  return folder / name;
}

}  // namespace tessera::test
