#include "base/error.hpp"
#include "data/shard_reader.hpp"
#include "data/show.hpp"
#include "memory_file.hpp"
#include "targets.hpp"

namespace tessera::fuzz {

bool run_shard(Bytes bytes) {
  static MemoryFile file;
  file.assign(bytes);
  try {
    const auto shard = data::ShardReader::open(file.path());
    static_cast<void>(data::verify_shard(*shard));
    static_cast<void>(data::describe(*shard));
    return true;
  } catch (const Error&) {
    return false;
  }
}

}  // namespace tessera::fuzz
