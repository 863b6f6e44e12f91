#pragma once
// Invariant: a checkpoint on its way to the disk appears under its final name only when it is complete,
// synced and read back from the disk, all ranks know so, and every failure on one rank is the same Error on
// all; until then the folder has what it had before. MPI and HDF5 are called from the thread that calls
// advance() and nowhere else: the threads beneath copy, sync and read bytes.
//
// Writing::overlapped copies what a rank writes when it is made, and each rank's thread writes from the copy
// while training changes the values. The copies take, once per node, as much memory as the file takes on the
// disk (12 to 16 bytes per trained parameter in float32) and are given back as soon as the bytes are written,
// before the sync. A bounded buffer would not do: the values change at the end of the very step.

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "checkpoint/checkpoint.hpp"

namespace tessera::checkpoint {

enum class Writing : std::uint8_t {
  overlapped,  ///< while the caller goes on; like at_once on a node without memory for the copies
  at_once      ///< when advance() or finish() is called; takes no copy
};

struct SaveOptions {
  Writing writing = Writing::overlapped;
  std::optional<AdapterBase> base{};   ///< makes it an adapter
  std::function<void()> afterwards{};  ///< rank 0 runs it when the file is complete, on any thread
};

class PendingSave {
 public:
  /// Makes the file beside its final name, takes its disk space, and copies. `store` outlives this.
  /// Collective.
  /// @throws Error, on all ranks alike, on a full disk, a folder that cannot be written, and so on.
  PendingSave(const std::filesystem::path& file, const RunState& state, const nn::ParameterStore& store,
              const std::vector<NamedArena>& arenas, const comm::Communicator& world,
              SaveOptions options = {});
  /// Gives up what is not complete, and removes it. Local; waits for this rank's disk.
  ~PendingSave();
  PendingSave(const PendingSave&) = delete;
  PendingSave& operator=(const PendingSave&) = delete;

  /// Whether advance() would not wait for this rank. Local.
  [[nodiscard]] bool ready() const;
  /// Takes the next of two steps: waits for the bytes of all ranks and starts what rank 0 does with the whole
  /// file, or waits for that. Collective; a good moment is when all ranks are ready().
  /// @return whether the checkpoint is complete. @throws Error on all ranks alike; what is left then is to
  /// destroy this.
  bool advance();
  /// Waits until it is complete. Collective. @throws Error on all ranks alike.
  void finish();

  /// Whether it is written while the caller goes on: what was asked for, where memory allows.
  [[nodiscard]] Writing writing() const;
  [[nodiscard]] std::uint64_t bytes() const;  ///< of all tensors

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace tessera::checkpoint
