#pragma once
// Invariant: HDF5 is called by one thread at a time. That is the main thread, or one that plays its part
// while the main thread waits.

namespace tessera::io {

/// While it lives, the calling thread may describe files as if it were the main one. Only for threads that
/// take turns, such as those of virtual ranks (comm/virtual_ranks.hpp).
class MainThreadRole {
 public:
  MainThreadRole();
  ~MainThreadRole();
  MainThreadRole(const MainThreadRole&) = delete;
  MainThreadRole& operator=(const MainThreadRole&) = delete;

  /// Whether the calling thread is the main one or plays its part.
  [[nodiscard]] static bool held();
};

}  // namespace tessera::io
