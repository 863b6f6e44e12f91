// As shard_contents: checkpoints that are sealed and whose description lies. The bytes are edits:
//   0 ATTRIBUTE i64          one of the integer attributes
//   1 ATTRIBUTE TEXT         one of the texts
//   2 LIST PLACE TEXT        an entry of a list of texts; past its end, one more; an empty TEXT removes it
//   3 PLACE u32              a checksum; past the end, one more
//   4 TYPE RANK SIDE...      the stored tensors

#include "base/error.hpp"
#include "checkpoint/checkpoint.hpp"
#include "edits.hpp"
#include "memory_file.hpp"
#include "sample_files.hpp"
#include "targets.hpp"

namespace tessera::fuzz {
namespace {

constexpr std::array<const char*, 9> integers{"format_version",    "stage",          "stage_step",
                                              "global_step",       "samples_seen",   "attempt",
                                              "optimizer_updates", "average_active", "loss_steps"};
constexpr std::array<const char*, 3> texts{"format", "precision", "stage_name"};
constexpr std::array<io::StoredType, 5> types{io::StoredType::f32, io::StoredType::f64, io::StoredType::u8,
                                              io::StoredType::i64, io::StoredType::u32};

CheckpointContent edited(EditReader edits) {
  CheckpointContent content;
  const std::array<std::vector<std::string>*, 3> lists{&content.names, &content.config, &content.plugins};
  while (!edits.done()) {
    const int kind = edits.take<std::uint8_t>() % 5;
    if (kind == 0) {
      const char* name = edits.choose(integers);
      content.integers[name] = edits.take<std::int64_t>();
    } else if (kind == 1) {
      const char* name = edits.choose(texts);
      content.texts[name] = edits.text();
    } else if (kind == 2) {
      std::vector<std::string>& list = *lists[edits.take<std::uint8_t>() % lists.size()];
      const std::size_t place = edits.take<std::uint8_t>() % (list.size() + 1);
      const std::string text = edits.text();
      if (place == list.size()) list.emplace_back();
      list[place] = text;
      if (text.empty()) list.erase(list.begin() + static_cast<std::ptrdiff_t>(place));
    } else if (kind == 3) {
      const std::size_t place = edits.take<std::uint8_t>() % (content.checksums.size() + 1);
      if (place == content.checksums.size()) content.checksums.push_back(0);
      content.checksums[place] = edits.take<std::uint32_t>();
    } else {
      content.type = types[edits.take<std::uint8_t>() % types.size()];
      content.shape.resize(edits.take<std::uint8_t>() % 4U);
      for (std::uint64_t& side : content.shape) side = edits.take<std::uint8_t>() % 5U;
    }
  }
  return content;
}

}  // namespace

bool run_checkpoint_contents(Bytes bytes) {
  static MemoryFile file;
  try {
    write_checkpoint(file.path(), edited(EditReader(bytes)));
  } catch (const Error&) {
    return false;  // HDF5 refused the edit
  }
  try {
    const checkpoint::Description found = checkpoint::verify(file.path());
    static_cast<void>(found.has_group("model"));
    return true;
  } catch (const Error&) {
    return false;
  }
}

}  // namespace tessera::fuzz
