#pragma once
// Invariant: a test of sharded training runs on one machine as on several, with several buckets in a toy
// model.

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "mpi/train/common_folder.hpp"
#include "mpi/train/run_checks.hpp"
#include "train/shard_mode.hpp"

namespace tessera::test {

/// Every rank with a memory of its own; and nodes of two, one of them smaller where there are three ranks.
inline std::vector<comm::Communicator> layouts(const comm::Communicator& world) {
  std::vector<comm::Communicator> all{world.on_nodes_of(1)};
  if (world.size() > 2) all.push_back(world.on_nodes_of(2));
  return all;
}

/// Several buckets in a toy model.
inline std::vector<std::string> sharded(const std::string& mode) {
  return {"run.shard=" + mode, "run.shard_bucket=0.03"};
}
inline train::ShardSettings settings(train::Shard mode) { return {.mode = mode, .bucket_bytes = 30000}; }

inline std::vector<std::string> with(std::vector<std::string> a, const std::vector<std::string>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

struct Sharded : testing::Test {
  Sharded() {
    make_data(world, data);
    if (world.size() == 1) skipped = "needs several ranks";
  }
  void SetUp() override {
    if (!skipped.empty()) GTEST_SKIP() << skipped;
  }
  comm::Communicator world = comm::Communicator::world();
  CommonFolder folder{world};
  std::string data = folder / "data";
  std::string skipped;
};

}  // namespace tessera::test
