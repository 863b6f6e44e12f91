#include <optional>
#include <span>

#include "checkpoint/checkpoint.hpp"
#include "checkpoint/tensor_parts.hpp"
#include "io/file_seal.hpp"
#include "io/hdf5.hpp"

namespace tessera::checkpoint {
namespace {

/// What all ranks must know of the file that rank 0 made.
struct Plan {
  std::string path;
  std::vector<io::Extent> tensors;
  io::Extent checksums;
  std::uint64_t user_block = 0;
};

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

/// Makes the file with everything but the tensors' bytes, and takes their disk space.
Plan prepare(const std::string& path, const RunState& state, const std::vector<PlacedTensor>& tensors,
             const std::optional<AdapterBase>& base) {
  const std::size_t count = tensors.size();
  Plan plan{path, {}, {}, io::seal_bytes(count)};
  // HDF5 does not survive a disk that fills up under it (the process crashes when it ends), so all of the
  // space that the file can need is taken, and given back, before HDF5 begins. Per tensor: alignment,
  // headers, name.
  std::uint64_t bytes = plan.user_block + 8192 * count + 2 * state.config.size() + (std::uint64_t{64} << 10);
  for (const PlacedTensor& tensor : tensors) {
    bytes += static_cast<std::size_t>(tensor.slot->count) * tensor.element_bytes();
  }
  io::require_free_space(io::folder_of(path), bytes, "this checkpoint");
  io::File::create(path).reserve({0, bytes});

  // A page each would be most of an adapter, whose tensors are small.
  const std::uint64_t alignment = base ? 64 : 4096;
  io::Hdf5File file = io::Hdf5File::create(path, {.user_block = plan.user_block, .alignment = alignment});
  write_state(file, state, base);
  std::vector<std::string> names;
  for (const PlacedTensor& tensor : tensors) {
    names.push_back(tensor.name);
    const Shape& shape = tensor.slot->parameter->shape();
    const std::vector<std::uint64_t> extents(shape.begin(), shape.end());
    plan.tensors.push_back(file.create_dataset("/" + tensor.name, stored(tensor.arena.dtype()), extents));
  }
  file.write_strings("/names", names);
  const std::uint64_t checksums = names.size();
  plan.checksums = file.create_dataset("/checksums", io::StoredType::u32, std::span(&checksums, 1));
  file.close();
  const io::File bulk = io::File::open_update(path);
  for (const io::Extent& extent : plan.tensors) bulk.reserve(extent);
  return plan;
}

void share(Plan& plan, std::size_t tensors, const comm::Communicator& world) {
  if (world.size() == 1) return;
  plan.tensors.resize(tensors);
  world.broadcast(std::as_writable_bytes(std::span(plan.tensors)), 0);
  const std::vector<std::string> paths = world.gather(plan.path);
  plan.path = paths.front();
}

/// Writes this rank's parts and reads them back. @return their checksums.
std::vector<std::uint32_t> write_parts(const Plan& plan, const std::vector<PlacedTensor>& tensors,
                                       const comm::Communicator& world) {
  const io::File file = io::File::open_update(plan.path);
  std::vector<std::uint32_t> checksums;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const comm::Slice part = part_of(tensors[i], world.rank(), world.size());
    const std::size_t skipped = part.begin * tensors[i].element_bytes();
    const std::size_t bytes = part.size() * tensors[i].element_bytes();
    const char* from = tensors[i].data() + skipped;
    if (bytes > 0) file.write_at(from, bytes, plan.tensors[i].offset + skipped);
    checksums.push_back(crc32c(from, bytes));
  }
  if (!world.on_one_node()) file.sync();  // else rank 0 does, for all
  std::vector<char> back;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const comm::Slice part = part_of(tensors[i], world.rank(), world.size());
    back.resize(part.size() * tensors[i].element_bytes());
    file.read_at(back.data(), back.size(), plan.tensors[i].offset + part.begin * tensors[i].element_bytes());
    if (crc32c(back.data(), back.size()) != checksums[i]) {
      throw Error("what was written to the checkpoint reads back differently.", plan.path,
                  "Check the disk; the checkpoints before this one were left alone.");
    }
  }
  return checksums;
}

}  // namespace

void save(const std::filesystem::path& path, const RunState& state, const nn::ParameterStore& store,
          const std::vector<NamedArena>& arenas, const comm::Communicator& world,
          const std::optional<AdapterBase>& base) {
  expect_host_memory("writing a checkpoint");
  const std::vector<PlacedTensor> tensors = tensors_of(store, arenas);
  std::optional<io::FileReplacement> replacement;
  Plan plan;
  world.together([&] {
    if (world.rank() != 0) return;
    replacement.emplace(path.string());
    plan = prepare(replacement->temporary_path(), state, tensors, base);
  });
  share(plan, tensors.size(), world);

  std::vector<std::uint32_t> parts;
  world.together([&] { parts = write_parts(plan, tensors, world); });
  std::vector<std::size_t> element_bytes;
  for (const PlacedTensor& tensor : tensors) element_bytes.push_back(tensor.element_bytes());
  const std::vector<std::uint32_t> checksums = whole_checksums(parts, tensors, element_bytes, world);

  world.together([&] {
    if (world.rank() != 0) return;
    const io::File file = io::File::open_update(plan.path);
    file.write_at(checksums.data(), plan.checksums.bytes, plan.checksums.offset);
    io::seal_file(plan.path, plan.user_block, plan.tensors);
    (void)describe(plan.path, base ? FileKind::adapter : FileKind::checkpoint);
    replacement->commit();
  });
}

}  // namespace tessera::checkpoint
