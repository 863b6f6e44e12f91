#pragma once
// Invariant: what HDF5 reads of a checkpoint is checked as if anybody had written it; that its bytes are
// those that were written is for the seal to say, before or after. Internal to checkpoint/.

#include "checkpoint/checkpoint.hpp"

namespace tessera::checkpoint {

/// describe() without the seal. Main thread only (HDF5).
/// @throws Error when the file is of another kind, or lacks something.
[[nodiscard]] Description read_description(const std::filesystem::path& file, FileKind kind);

}  // namespace tessera::checkpoint
