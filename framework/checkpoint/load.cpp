#include <map>

#include "checkpoint/checkpoint.hpp"
#include "checkpoint/tensor_parts.hpp"
#include "io/file.hpp"

namespace tessera::checkpoint {
namespace {

std::string shape_text(const std::vector<std::int64_t>& shape) {
  return Shape(shape.begin(), shape.end()).to_string();
}

/// The entry of every tensor of the arenas, in the order of arenas, then slots.
std::vector<const TensorEntry*> find_entries(const Description& description,
                                             const std::filesystem::path& file,
                                             const nn::ParameterStore& store,
                                             const std::vector<NamedArena>& arenas) {
  std::map<std::string, const TensorEntry*> by_name;
  for (const TensorEntry& entry : description.tensors) by_name[entry.name] = &entry;
  std::vector<const TensorEntry*> entries;
  for (const NamedArena& arena : arenas) {
    for (const nn::ParameterSlot& slot : store.slots()) {
      const std::string name = arena.group + "/" + slot.name;
      const auto found = by_name.find(name);
      const char* remedy =
          "Load it with the [model] tables that it was trained with: `tessera checkpoint show` prints them.";
      if (found == by_name.end()) {
        throw Error("this checkpoint has no tensor '" + name + "', which the configured model needs.",
                    file.string(), remedy);
      }
      const TensorEntry& entry = *found->second;
      const Shape& shape = slot.parameter->shape();
      if (entry.shape != std::vector<std::int64_t>(shape.begin(), shape.end())) {
        throw Error("the tensor '" + name + "' is " + shape_text(entry.shape) + " in this checkpoint and " +
                        shape.to_string() + " in the configured model.",
                    file.string(), remedy);
      }
      entries.push_back(&entry);
    }
  }
  return entries;
}

template <class From, class To>
void convert(const char* from, char* to, std::size_t count) {
  const auto* source = reinterpret_cast<const From*>(from);
  auto* destination = reinterpret_cast<To*>(to);
  for (std::size_t i = 0; i < count; ++i) destination[i] = static_cast<To>(source[i]);
}

/// Reads elements [part.begin, part.end) of a tensor to `to`. @return the checksum of the bytes read.
std::uint32_t read_part(const io::File& file, const TensorEntry& entry, comm::Slice part, DType type,
                        char* to) {
  const std::size_t size = size_of(entry.type);
  const std::uint64_t offset = entry.offset + part.begin * size;
  const std::size_t bytes = part.size() * size;
  if (entry.type == type) {
    file.read_at(to, bytes, offset);
    return crc32c(to, bytes);
  }
  std::vector<char> stored(bytes);
  file.read_at(stored.data(), bytes, offset);
  if (type == DType::f32) {
    convert<double, float>(stored.data(), to, part.size());
  } else {
    convert<float, double>(stored.data(), to, part.size());
  }
  return crc32c(stored.data(), bytes);
}

/// @return the checksums of the parts that rank `rank` of `ranks` read.
std::vector<std::uint32_t> read_parts(const std::filesystem::path& path,
                                      const std::vector<const TensorEntry*>& entries,
                                      const nn::ParameterStore& store, const std::vector<NamedArena>& arenas,
                                      int rank, int ranks) {
  const io::File file = io::File::open_read(path.string());
  std::vector<std::uint32_t> checksums;
  for (const NamedArena& arena : arenas) {
    const DType type = arena.arena.dtype();
    auto* base = static_cast<char*>(arena.arena.raw());
    for (const nn::ParameterSlot& slot : store.slots()) {
      const comm::Slice part = part_of(store, slot, rank, ranks);
      char* to = base + (static_cast<std::size_t>(slot.offset) + part.begin) * size_of(type);
      checksums.push_back(read_part(file, *entries[checksums.size()], part, type, to));
    }
  }
  return checksums;
}

void compare(const std::filesystem::path& path, const std::vector<const TensorEntry*>& entries,
             const std::vector<std::uint32_t>& checksums) {
  for (std::size_t i = 0; i < entries.size(); ++i) {
    if (entries[i]->crc != checksums[i]) {
      throw damaged(path, "the checksum of '" + entries[i]->name + "' does not match");
    }
  }
}

}  // namespace

void load(const Description& description, const std::filesystem::path& path, const nn::ParameterStore& store,
          const std::vector<NamedArena>& arenas, const comm::Communicator& sharers) {
  std::vector<const TensorEntry*> entries;
  std::vector<std::uint32_t> parts;
  sharers.together([&] {
    entries = find_entries(description, path, store, arenas);
    parts = read_parts(path, entries, store, arenas, sharers.rank(), sharers.size());
  });
  std::vector<std::size_t> element_bytes;
  for (std::size_t i = 0; i < arenas.size(); ++i) {
    element_bytes.push_back(size_of(entries[i * store.slots().size()]->type));
  }
  compare(path, entries, whole_checksums(parts, element_bytes, store, &sharers));
}

Description load_weights(const std::filesystem::path& path, nn::ParameterStore& store, Weights which) {
  Description description = describe(path);
  const bool has_average = description.has_group("average") && description.state.average_active;
  if (which == Weights::average && !has_average) {
    throw Error("this checkpoint has no running average of the weights.", path.string(),
                "Sample with the trained weights, or train a stage with ema_smoothing.");
  }
  const bool average = which != Weights::trained && has_average;
  const std::vector<NamedArena> arenas{{average ? "average" : "model", store.values()}};
  const std::vector<const TensorEntry*> entries = find_entries(description, path, store, arenas);
  compare(path, entries, read_parts(path, entries, store, arenas, 0, 1));
  store.refresh_compute_copy();
  return description;
}

}  // namespace tessera::checkpoint
