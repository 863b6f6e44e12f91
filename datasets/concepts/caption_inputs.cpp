#include "datasets/concepts/caption_inputs.hpp"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.hpp"
#include "data/dataset.hpp"
#include "datasets/folder/captions_file.hpp"

namespace tessera::datasets::concepts {
namespace {

namespace fs = std::filesystem;

/// "a.png#12" -> "a.png".
std::string_view image_of(std::string_view id) {
  const std::size_t mark = id.rfind('#');
  if (mark == std::string_view::npos || mark == 0 || mark + 1 == id.size()) return id;
  const std::string_view digits = id.substr(mark + 1);
  const bool number = std::all_of(digits.begin(), digits.end(), [](char c) { return c >= '0' && c <= '9'; });
  return number ? id.substr(0, mark) : id;
}

std::vector<std::string_view> captions_of(const data::ShardReader& shard, std::uint64_t record,
                                          std::uint32_t number) {
  const data::RecordInfo info = shard.info(record);
  std::vector<std::string_view> captions;
  if (number > info.captions) {
    throw Error("record " + std::to_string(record) + " ('" + std::string(info.id) + "') has " +
                    std::to_string(info.captions) + " captions, so none with the number " +
                    std::to_string(number),
                shard.layout().path, "ask for a lower number, or for all");
  }
  for (std::uint32_t i = 0; i < info.captions; ++i) {
    if (number == 0 || i + 1 == number) captions.push_back(shard.caption_text(record, i));
  }
  return captions;
}

void count_shards(const CaptionInput& input, ConceptStatistics& statistics) {
  std::optional<std::string> image;
  std::vector<std::string> before;  // the captions of the last record
  for (const std::string& path : data::find_shards({input.path})) {
    const auto shard = data::ShardReader::open(path);
    for (std::uint64_t record = 0; record < shard->records(); ++record) {
      const std::vector<std::string_view> captions = captions_of(*shard, record, input.number);
      const std::string_view name = image_of(shard->info(record).id);
      if (name != image) {
        statistics.add_image();
      } else if (std::equal(captions.begin(), captions.end(), before.begin(), before.end())) {
        continue;
      }
      for (const std::string_view caption : captions) statistics.add_caption(caption);
      before.assign(captions.begin(), captions.end());
      image = name;
    }
  }
}

void count_file(const fs::path& path, const std::string& field, ConceptStatistics& statistics) {
  folder::CaptionsReader reader(path, {field});
  std::optional<std::string> image;
  for (folder::Row row; reader.next(row);) {
    if (row.image != image) statistics.add_image();
    statistics.add_caption(row.captions.front());
    image = std::move(row.image);
  }
}

}  // namespace

bool holds_shards(const std::string& path) {
  std::error_code failure;
  if (!fs::is_directory(path, failure)) return fs::path(path).extension() == ".h5";
  for (const fs::directory_entry& entry : fs::directory_iterator(path)) {
    if (entry.path().extension() == ".h5") return true;
  }
  return false;
}

void count_captions(const CaptionInput& input, ConceptStatistics& statistics) {
  if (holds_shards(input.path)) return count_shards(input, statistics);
  std::error_code failure;
  if (!fs::is_directory(input.path, failure)) return count_file(input.path, input.field, statistics);
  const fs::path file = folder::find_captions_file(input.path);
  if (file.empty()) {
    throw Error("this folder holds neither shards (*.h5) nor a captions file", input.path,
                "name a folder of shards, or a captions file");
  }
  count_file(file, input.field, statistics);
}

}  // namespace tessera::datasets::concepts
