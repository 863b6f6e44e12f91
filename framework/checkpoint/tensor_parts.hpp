#pragma once
// Invariant: the parts of all ranks cover every tensor exactly once, in the order of ranks, so the checksum
// of a tensor follows from the checksums of its parts. Internal to checkpoint/.

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>
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
      tensors.push_back({arena.group + "/" + slot.name, &slot, arena.arena});
    }
  }
  return tensors;
}

/// The elements of a tensor that a rank moves, counted from its first; empty for most tensors.
[[nodiscard]] inline comm::Slice part_of(const PlacedTensor& tensor, int rank, int ranks) {
  const auto elements = static_cast<std::size_t>(tensor.arena.numel());
  const comm::Slice share = comm::slice_of(elements, rank, ranks, nn::ParameterStore::alignment);
  const auto first = static_cast<std::size_t>(tensor.slot->offset);
  const auto last = first + static_cast<std::size_t>(tensor.slot->count);
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
  for (int rank = 0; rank < ranks.size(); ++rank) {
    std::vector<std::uint32_t> theirs(parts.size());
    std::memcpy(theirs.data(), all[static_cast<std::size_t>(rank)].data(), mine.size());
    for (std::size_t i = 0; i < whole.size(); ++i) {
      const comm::Slice part = part_of(tensors[i], rank, ranks.size());
      if (part.size() == 0) continue;
      whole[i] = crc32c_combine(whole[i], theirs[i], part.size() * element_bytes[i]);
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
