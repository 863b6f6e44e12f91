#include <algorithm>
#include <array>
#include <cinttypes>
#include <cstdio>

#include "checkpoint/checkpoint.hpp"
#include "checkpoint/description.hpp"
#include "checkpoint/tensor_parts.hpp"
#include "io/file_seal.hpp"
#include "io/hdf5.hpp"

namespace tessera::checkpoint {
namespace {

std::int64_t count_in(const io::Hdf5File& file, const char* name) {
  const std::int64_t value = file.integer_attribute("/", name);
  if (value < 0) throw damaged(file.path(), std::string(name) + " is negative");
  return value;
}

std::string single_text(const io::Hdf5File& file, const std::string& name) {
  const std::vector<std::string> texts = file.read_strings(name);
  if (texts.size() != 1) throw damaged(file.path(), name + " is not one text");
  return texts.front();
}

RunState read_state(const io::Hdf5File& file) {
  RunState state;
  state.config = single_text(file, "/config");
  state.plugins = file.read_strings("/plugins");
  state.precision = file.string_attribute("/", "precision");
  state.stage = count_in(file, "stage");
  state.stage_name = file.string_attribute("/", "stage_name");
  state.stage_step = count_in(file, "stage_step");
  state.global_step = count_in(file, "global_step");
  state.samples_seen = count_in(file, "samples_seen");
  state.attempt = count_in(file, "attempt");
  state.optimizer_updates = count_in(file, "optimizer_updates");
  state.average_active = count_in(file, "average_active") != 0;
  state.loss_sum = file.number_attribute("/", "loss_sum");
  state.loss_steps = count_in(file, "loss_steps");
  state.faults = read_counters(file);
  return state;
}

TensorEntry read_entry(const io::Hdf5File& file, const std::string& name) {
  if (!file.is_dataset("/" + name)) throw damaged(file.path(), "the tensor '" + name + "' is missing");
  const io::Hdf5Dataset found = file.dataset("/" + name);
  if (!found.extent || (found.type != io::StoredType::f32 && found.type != io::StoredType::f64)) {
    throw damaged(file.path(), "the tensor '" + name + "' is not contiguous f32 or f64");
  }
  TensorEntry entry;
  entry.name = name;
  entry.type = found.type == io::StoredType::f32 ? DType::f32 : DType::f64;
  entry.shape.assign(found.shape.begin(), found.shape.end());
  entry.offset = found.extent->offset;
  entry.bytes = found.extent->bytes;
  return entry;
}

/// @throws Error when the file is not of that kind.
void check_kind(const io::Hdf5File& file, FileKind kind) {
  const std::string format = file.has_attribute("/", "format") ? file.string_attribute("/", "format") : "";
  if (format == format_name && kind != FileKind::adapter) return;
  if (format == adapter_format_name && kind != FileKind::checkpoint) return;
  if (format == format_name) {
    throw Error("this file is a checkpoint, not an adapter.", file.path(),
                "Extract its adapter, if it has one: `tessera checkpoint export-adapter`.");
  }
  if (format == adapter_format_name) {
    throw Error("this file is an adapter, not a checkpoint.", file.path(),
                "Draw with `tessera sample --adapter FILE`, or make a checkpoint of it: `tessera checkpoint "
                "merge`.");
  }
  throw Error("this file is not a checkpoint.", file.path(), "Name a file of a run's checkpoints folder.");
}

void add_tensor(std::string& text, const std::string& name, const TensorEntry& entry) {
  text += "\n" + name + " " + name_of(entry.type) + " " + std::to_string(entry.crc);
  for (const std::int64_t extent : entry.shape) text += " " + std::to_string(extent);
}

std::string digits_of(const std::string& text) {
  std::array<char, 17> digits{};
  std::snprintf(digits.data(), digits.size(), "%016" PRIx64, hash_text(text));
  return digits.data();
}

}  // namespace

bool Description::has_group(const std::string& group) const {
  return std::ranges::any_of(tensors, [&](const auto& entry) { return entry.name.starts_with(group + "/"); });
}

bool Description::has(const std::string& tensor) const {
  return std::ranges::any_of(tensors, [&](const TensorEntry& entry) { return entry.name == tensor; });
}

Description describe(const std::filesystem::path& path, FileKind kind) {
  io::check_seal(path.string(), "checkpoint");
  return read_description(path, kind);
}

Description read_description(const std::filesystem::path& path, FileKind kind) {
  const io::Hdf5File file = io::Hdf5File::open(path.string());
  check_kind(file, kind);
  const std::int64_t version = file.integer_attribute("/", "format_version");
  if (version != format_version) {
    throw Error("this checkpoint has format version " + std::to_string(version) +
                    ", but this program reads version " + std::to_string(format_version) + ".",
                path.string(), "Read it with the release of Tessera that wrote it.");
  }
  Description result;
  result.state = read_state(file);
  if (file.string_attribute("/", "format") == adapter_format_name) {
    result.base = {file.string_attribute("/", "base"), file.string_attribute("/", "base_weights"),
                   file.string_attribute("/", "base_digest")};
  }
  const std::vector<std::string> names = file.read_strings("/names");
  const std::vector<std::uint32_t> checksums = file.read<std::uint32_t>("/checksums");
  if (names.size() != checksums.size()) throw damaged(path, "its list of checksums is incomplete");
  for (std::size_t i = 0; i < names.size(); ++i) {
    TensorEntry entry = read_entry(file, names[i]);
    entry.crc = checksums[i];
    result.tensors.push_back(std::move(entry));
  }
  result.file_bytes = io::File::open_read(path.string()).size();
  return result;
}

std::string digest(const Description& description) {
  const RunState& state = description.state;
  std::string text = state.config + state.stage_name + std::to_string(state.global_step);
  for (const TensorEntry& entry : description.tensors) add_tensor(text, entry.name, entry);
  return digits_of(text);
}

std::string digest(const std::map<std::string, TensorEntry>& tensors) {
  std::string text;
  for (const auto& [name, entry] : tensors) add_tensor(text, name, entry);
  return digits_of(text);
}

Description verify(const std::filesystem::path& path, FileKind kind) {
  Description description = describe(path, kind);
  const io::File file = io::File::open_read(path.string());
  std::vector<char> buffer(std::size_t{4} << 20);
  for (const TensorEntry& entry : description.tensors) {
    std::uint32_t crc = 0;
    for (std::uint64_t done = 0; done < entry.bytes;) {
      const auto piece = static_cast<std::size_t>(std::min<std::uint64_t>(buffer.size(), entry.bytes - done));
      file.read_at(buffer.data(), piece, entry.offset + done);
      crc = crc32c(buffer.data(), piece, crc);
      done += piece;
    }
    if (crc != entry.crc) throw damaged(path, "the checksum of '" + entry.name + "' does not match");
  }
  return description;
}

}  // namespace tessera::checkpoint
