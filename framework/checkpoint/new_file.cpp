#include "checkpoint/new_file.hpp"

#include <span>

#include "checkpoint/description.hpp"
#include "io/file_seal.hpp"
#include "io/hdf5.hpp"

namespace tessera::checkpoint {
namespace {

io::StoredType stored(DType type) { return type == DType::f64 ? io::StoredType::f64 : io::StoredType::f32; }

void write_state(io::Hdf5File& file, const RunState& state, const std::optional<AdapterBase>& base) {
  file.set_attribute("/", "format", base ? adapter_format_name : format_name);
  if (base) {
    file.set_attribute("/", "base", base->checkpoint);
    file.set_attribute("/", "base_weights", base->weights);
    file.set_attribute("/", "base_digest", base->digest);
  }
  file.set_attribute("/", "format_version", format_version);
  file.write_strings("/config", std::vector{state.config});
  file.write_strings("/plugins", state.plugins);
  file.set_attribute("/", "precision", state.precision);
  file.set_attribute("/", "stage", state.stage);
  file.set_attribute("/", "stage_name", state.stage_name);
  file.set_attribute("/", "stage_step", state.stage_step);
  file.set_attribute("/", "global_step", state.global_step);
  file.set_attribute("/", "samples_seen", state.samples_seen);
  file.set_attribute("/", "attempt", state.attempt);
  file.set_attribute("/", "optimizer_updates", state.optimizer_updates);
  file.set_attribute("/", "average_active", std::int64_t{state.average_active ? 1 : 0});
  file.set_attribute("/", "loss_sum", state.loss_sum);
  file.set_attribute("/", "loss_steps", state.loss_steps);
  write_counters(file, state.faults);
}

/// @throws Error when HDF5 finds something else in the file than it was told to put there.
void check(const NewFile& made, const RunState& state, const std::vector<PlacedTensor>& tensors) {
  const Description found = read_description(made.path, FileKind::either);
  bool same = found.state == state && found.tensors.size() == tensors.size();
  for (std::size_t i = 0; same && i < tensors.size(); ++i) {
    const TensorEntry& entry = found.tensors[i];
    same = entry.name == tensors[i].name && entry.type == tensors[i].arena.dtype() &&
           io::Extent{entry.offset, entry.bytes} == made.tensors[i];
  }
  if (same) return;
  throw Error("the description of the checkpoint reads back differently.", made.path, "Check the disk.");
}

}  // namespace

NewFile make_file(const std::string& path, const RunState& state, const std::vector<PlacedTensor>& tensors,
                  const std::optional<AdapterBase>& base) {
  const std::size_t count = tensors.size();
  NewFile made{path, {}, {}, io::seal_bytes(count)};
  // HDF5 does not survive a disk that fills up under it (the process crashes when it ends), so all of the
  // space that the file can need is taken, and given back, before HDF5 begins. Per tensor: alignment,
  // headers, name.
  std::uint64_t bytes = made.user_block + 8192 * count + 2 * state.config.size() + (std::uint64_t{64} << 10);
  for (const PlacedTensor& tensor : tensors) {
    bytes += static_cast<std::size_t>(tensor.slot->count) * tensor.element_bytes();
  }
  io::require_free_space(io::folder_of(path), bytes, "this checkpoint");
  io::File::create(path).reserve({0, bytes});

  // A page each would be most of an adapter, whose tensors are small.
  const std::uint64_t alignment = base ? 64 : 4096;
  io::Hdf5File file = io::Hdf5File::create(path, {.user_block = made.user_block, .alignment = alignment});
  write_state(file, state, base);
  std::vector<std::string> names;
  for (const PlacedTensor& tensor : tensors) {
    names.push_back(tensor.name);
    const Shape& shape = tensor.slot->parameter->shape();
    const std::vector<std::uint64_t> extents(shape.begin(), shape.end());
    made.tensors.push_back(file.create_dataset("/" + tensor.name, stored(tensor.arena.dtype()), extents));
  }
  file.write_strings("/names", names);
  const std::uint64_t checksums = names.size();
  made.checksums = file.create_dataset("/checksums", io::StoredType::u32, std::span(&checksums, 1));
  file.close();
  const io::File bulk = io::File::open_update(path);
  bulk.reserve({0, bulk.size()});
  check(made, state, tensors);
  return made;
}

}  // namespace tessera::checkpoint
