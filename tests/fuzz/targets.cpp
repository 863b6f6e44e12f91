#include "targets.hpp"

namespace tessera::fuzz {

const std::vector<Target>& targets() {
  static const std::vector<Target> all{
      {"config", run_config},
      {"shard", run_shard},
      {"shard_contents", run_shard_contents},
      {"checkpoint", run_checkpoint},
      {"checkpoint_contents", run_checkpoint_contents},
      {"picture", run_picture},
      {"captions", run_captions},
  };
  return all;
}

}  // namespace tessera::fuzz
