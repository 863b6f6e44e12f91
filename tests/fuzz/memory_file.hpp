#pragma once
// Invariant: the bytes have a real path, as HDF5 wants one, in memory where the machine offers such a folder.

#include <string>

#include "targets.hpp"

namespace tessera::fuzz {

class MemoryFile {
 public:
  MemoryFile();
  ~MemoryFile();
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;

  /// Replaces the content.
  void assign(Bytes bytes);
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  int descriptor_ = -1;
  std::string path_;
};

}  // namespace tessera::fuzz
