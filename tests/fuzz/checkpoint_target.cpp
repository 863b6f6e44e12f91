#include "base/error.hpp"
#include "checkpoint/checkpoint.hpp"
#include "memory_file.hpp"
#include "targets.hpp"

namespace tessera::fuzz {

bool run_checkpoint(Bytes bytes) {
  static MemoryFile file;
  file.assign(bytes);
  try {
    static_cast<void>(checkpoint::verify(file.path()));
    return true;
  } catch (const Error&) {
    return false;
  }
}

}  // namespace tessera::fuzz
