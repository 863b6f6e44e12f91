#pragma once
// Invariant: a file made here holds everything of a checkpoint but the tensors' bytes, their checksums and
// the seal; it has the disk space for these, and HDF5 has read back what it was told. Internal to
// checkpoint/.

#include <optional>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.hpp"
#include "checkpoint/tensor_parts.hpp"
#include "io/file.hpp"

namespace tessera::checkpoint {

/// Where the rest of such a file goes.
struct NewFile {
  std::string path;
  std::vector<io::Extent> tensors;
  io::Extent checksums;
  std::uint64_t user_block = 0;
};

/// Makes the file. Main thread only (HDF5), by one rank.
/// @throws Error, on a disk that is too full among other reasons.
[[nodiscard]] NewFile make_file(const std::string& path, const RunState& state,
                                const std::vector<PlacedTensor>& tensors,
                                const std::optional<AdapterBase>& base);

}  // namespace tessera::checkpoint
