#include <algorithm>
#include <map>

#include "checkpoint/checkpoint.hpp"
#include "checkpoint/tensor_parts.hpp"
#include "io/file.hpp"

namespace tessera::checkpoint {
namespace {

std::string shape_text(const std::vector<std::int64_t>& shape) {
  return Shape(shape.begin(), shape.end()).to_string();
}

/// The entry of every tensor.
std::vector<const TensorEntry*> find_entries(const Description& description,
                                             const std::filesystem::path& file,
                                             const std::vector<PlacedTensor>& tensors) {
  std::map<std::string, const TensorEntry*> by_name;
  for (const TensorEntry& entry : description.tensors) by_name[entry.name] = &entry;
  std::vector<const TensorEntry*> entries;
  for (const PlacedTensor& tensor : tensors) {
    const auto found = by_name.find(tensor.name);
    const char* remedy =
        "Load it with the [model] tables that it was trained with: `tessera checkpoint show` prints them.";
    if (found == by_name.end()) {
      throw Error("this checkpoint has no tensor '" + tensor.name + "', which the configured model needs.",
                  file.string(), remedy);
    }
    const TensorEntry& entry = *found->second;
    const Shape& shape = tensor.slot->parameter->shape();
    if (entry.shape != std::vector<std::int64_t>(shape.begin(), shape.end())) {
      throw Error("the tensor '" + tensor.name + "' is " + shape_text(entry.shape) +
                      " in this checkpoint and " + shape.to_string() + " in the configured model.",
                  file.string(), remedy);
    }
    entries.push_back(&entry);
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
                                      const std::vector<PlacedTensor>& tensors, int rank, int ranks) {
  expect_host_memory("reading a checkpoint");
  const io::File file = io::File::open_read(path.string());
  std::vector<std::uint32_t> checksums;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const PlacedTensor& tensor = tensors[i];
    const comm::Slice part = part_of(tensor, rank, ranks);
    checksums.push_back(read_part(file, *entries[i], part, tensor.arena.dtype(),
                                  tensor.data() + part.begin * tensor.element_bytes()));
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

/// By one process that reads them all.
void load_whole(const Description& description, const std::filesystem::path& path,
                const std::vector<PlacedTensor>& tensors) {
  const std::vector<const TensorEntry*> entries = find_entries(description, path, tensors);
  compare(path, entries, read_parts(path, entries, tensors, 0, 1));
}

/// Fills the tensors that are an adapter's, and takes them out of the list.
void load_adapter(const std::filesystem::path& path, std::vector<PlacedTensor>& tensors) {
  const Description description = describe(path, FileKind::adapter);
  std::vector<PlacedTensor> adapted, others;
  for (PlacedTensor& tensor : tensors) {
    const std::string name = "adapter/" + tensor.slot->name;
    const bool of_adapter = description.has(name);
    if (of_adapter) tensor.name = name;
    (of_adapter ? adapted : others).push_back(tensor);
  }
  for (const TensorEntry& entry : description.tensors) {
    if (std::ranges::any_of(adapted, [&](const auto& tensor) { return tensor.name == entry.name; })) continue;
    throw Error("the model has no place for this adapter's tensor '" + entry.name + "'.", path.string(),
                "Use it with a checkpoint of the model that it was trained on.");
  }
  load_whole(description, path, adapted);
  tensors = std::move(others);
}

}  // namespace

void load(const Description& description, const std::filesystem::path& path, const nn::ParameterStore& store,
          const std::vector<NamedArena>& arenas, const comm::Communicator& sharers) {
  const std::vector<PlacedTensor> tensors = tensors_of(store, arenas);
  std::vector<const TensorEntry*> entries;
  std::vector<std::uint32_t> parts;
  sharers.together([&] {
    entries = find_entries(description, path, tensors);
    parts = read_parts(path, entries, tensors, sharers.rank(), sharers.size());
  });
  std::vector<std::size_t> element_bytes;
  for (const TensorEntry* entry : entries) element_bytes.push_back(size_of(entry->type));
  compare(path, entries, whole_checksums(parts, tensors, element_bytes, sharers));
}

Weights weights_named(const std::string& name) {
  if (name == "trained") return Weights::trained;
  if (name == "average") return Weights::average;
  if (name == "preferred") return Weights::preferred;
  throw Error("there are no weights of the kind '" + name + "'.", {}, "Use trained, average or preferred.");
}

bool takes_average(const Description& description, const std::filesystem::path& file, Weights which) {
  const bool has_average = description.has_group("average") && description.state.average_active;
  if (which == Weights::average && !has_average) {
    throw Error("this checkpoint has no running average of the weights.", file.string(),
                "Take the trained weights, or train a stage with ema_smoothing.");
  }
  return which != Weights::trained && has_average;
}

std::map<std::string, TensorEntry> weights_in(const Description& description,
                                              const std::filesystem::path& file, Weights which) {
  std::map<std::string, TensorEntry> weights;
  const auto take = [&](const std::string& group) {
    for (const TensorEntry& entry : description.tensors) {
      if (entry.name.starts_with(group)) weights[entry.name.substr(group.size())] = entry;
    }
  };
  take("model/");
  if (takes_average(description, file, which)) take("average/");
  return weights;
}

Description load_weights(const std::filesystem::path& path, nn::ParameterStore& store, Weights which,
                         const std::filesystem::path& adapter) {
  Description description = describe(path);
  const bool average = takes_average(description, path, which);
  std::vector<PlacedTensor> tensors = tensors_of(store, {{"model", store.values()}});
  if (!adapter.empty()) load_adapter(adapter, tensors);
  for (PlacedTensor& tensor : tensors) {
    // What is not trained has no average: its value is the trained model's.
    const std::string in_average = "average/" + tensor.slot->name;
    if (average && (adapter.empty() ? tensor.slot->trainable : description.has(in_average)))
      tensor.name = in_average;
  }
  load_whole(description, path, tensors);
  store.refresh_compute_copy();
  return description;
}

Tensor read_tensor(const std::filesystem::path& path, const TensorEntry& entry) {
  std::vector<char> bytes(entry.bytes);
  const std::uint32_t crc = read_part(io::File::open_read(path.string()), entry,
                                      {0, entry.bytes / size_of(entry.type)}, entry.type, bytes.data());
  compare(path, {&entry}, {crc});
  const Tensor tensor = Tensor::empty(Shape(entry.shape.begin(), entry.shape.end()), entry.type);
  tensor.copy_from_host(bytes.data());
  return tensor;
}

}  // namespace tessera::checkpoint
