#pragma once
// Invariant: the parts of all ranks, one or none each, cover every tensor exactly once, so the checksum of a
// tensor follows from the checksums of its parts. Internal to checkpoint/.

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/hash.hpp"
#include "checkpoint/checkpoint.hpp"
#include "comm/slice.hpp"

namespace tessera::checkpoint {

/// A tensor of the file and where it belongs.
struct PlacedTensor {
  std::string name;  ///< in the file
  const nn::ParameterSlot* slot;
  Tensor arena;
  std::shared_ptr<const comm::Sharding> sharding{};  ///< see NamedArena

  [[nodiscard]] std::size_t element_bytes() const { return size_of(arena.dtype()); }
  [[nodiscard]] char* data() const {
    return static_cast<char*>(arena.raw()) + static_cast<std::size_t>(slot->offset) * element_bytes();
  }
};

/// The tensors of all arenas, in the order of arenas, then slots: the order of the file. `store` outlives
/// them.
[[nodiscard]] inline std::vector<PlacedTensor> tensors_of(const nn::ParameterStore& store,
                                                          const std::vector<NamedArena>& arenas) {
  std::vector<PlacedTensor> tensors;
  for (const NamedArena& arena : arenas) {
    for (const nn::ParameterSlot& slot : store.slots_in(arena.arena.numel())) {
      tensors.push_back({arena.group + "/" + slot.name, &slot, arena.arena, arena.sharding});
    }
  }
  return tensors;
}

/// The elements of a tensor that a rank moves, counted from its first; empty for most tensors.
[[nodiscard]] inline comm::Slice part_of(const PlacedTensor& tensor, int rank, int ranks) {
  const auto elements = static_cast<std::size_t>(tensor.arena.numel());
  const auto first = static_cast<std::size_t>(tensor.slot->offset);
  const auto last = first + static_cast<std::size_t>(tensor.slot->count);
  const comm::Slice share = tensor.sharding
                                ? tensor.sharding->part_of_range({first, last}, rank)
                                : comm::slice_of(elements, rank, ranks, nn::ParameterStore::alignment);
  const std::size_t begin = std::clamp(share.begin, first, last);
  const std::size_t end = std::clamp(share.end, begin, last);
  return {begin - first, end - first};
}

/// The checksums of whole tensors from those of this rank's parts. Collective over `ranks`.
/// @param element_bytes  of each tensor, as stored
[[nodiscard]] inline std::vector<std::uint32_t> whole_checksums(const std::vector<std::uint32_t>& parts,
                                                                const std::vector<PlacedTensor>& tensors,
                                                                const std::vector<std::size_t>& element_bytes,
                                                                const comm::Communicator& ranks) {
  if (ranks.size() == 1) return parts;
  const std::string mine(reinterpret_cast<const char*>(parts.data()), parts.size() * sizeof(std::uint32_t));
  const std::vector<std::string> all = ranks.gather(mine);
  std::vector<std::uint32_t> whole(parts.size(), 0);
  for (std::size_t i = 0; i < whole.size(); ++i) {
    std::map<std::size_t, std::pair<int, std::size_t>> in_order;  // by first element: rank, elements
    for (int rank = 0; rank < ranks.size(); ++rank) {
      const comm::Slice part = part_of(tensors[i], rank, ranks.size());
      if (part.size() > 0) in_order[part.begin] = {rank, part.size()};
    }
    for (const auto& [first, part] : in_order) {
      std::uint32_t theirs = 0;
      std::memcpy(&theirs, all[static_cast<std::size_t>(part.first)].data() + i * sizeof(theirs),
                  sizeof(theirs));
      whole[i] = crc32c_combine(whole[i], theirs, part.second * element_bytes[i]);
    }
  }
  return whole;
}

[[nodiscard]] inline Error damaged(const std::filesystem::path& file, const std::string& what) {
  return Error(
      "this checkpoint is damaged: " + what + ".", file.string(),
      "Use an older checkpoint of the run (`tessera checkpoint verify` says which are intact), or copy "
      "this one again from where it was written.");
}

}  // namespace tessera::checkpoint
