// Whole runs on more ranks than any machine here has cores: the production code over virtual ranks.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <filesystem>

#include "comm/virtual_ranks.hpp"
#include "io/main_thread.hpp"
#include "mpi/train/run_checks.hpp"
#include "mpi/train/toy_run.hpp"
#include "unit/io/temporary_folder.hpp"

namespace tessera::test {
namespace {

using comm::CollectiveCall;
using comm::Communicator;

/// A toy run whose batches are large enough for many ranks and divisible by none of their numbers.
ConfigTree wide_run(const std::string& data, std::int64_t batch, bool buckets) {
  ConfigTree tree = toy_configuration(data, "float64");
  for (const char* setting : {"stage.0.steps=2", "stage.0.micro_batch=1", "stage.0.warmup=1",
                              "stage.1.steps=2", "stage.1.ema_start=1", "run.checkpoint_every=1"}) {
    tree.set(setting);
  }
  tree.set("stage.0.batch=" + std::to_string(batch + 3));
  tree.set("stage.1.batch=" + std::to_string(batch));
  return buckets ? bucketed(tree) : tree;
}

std::vector<CollectiveCall> run_on(const comm::VirtualCluster& cluster, const ConfigTree& tree,
                                   const std::string& out, bool resume = false) {
  return comm::run_virtual_ranks(cluster, [&](const Communicator& world) {
    const io::MainThreadRole one_at_a_time;
    EXPECT_EQ(run_tree(world, tree, out, resume), ExitCode::done);
  });
}

class VirtualTraining : public testing::TestWithParam<bool> {};

TEST_P(VirtualTraining, ManyRanksGiveTheCurveOfOne) {
  const TemporaryFolder folder;
  make_toy_data(folder / "data", GetParam());
  const ConfigTree tree = wide_run(folder / "data", 25, GetParam());
  run_on({1, 1}, tree, folder / "one");
  const std::vector<CollectiveCall> calls = run_on({24, 8}, tree, folder / "many");
  ASSERT_EQ(losses(folder / "one").size(), 4U);
  EXPECT_LT(difference(losses(folder / "many"), losses(folder / "one")), 1e-9);

  // The same reductions in every step of a stage: as many elements as are trained.
  std::vector<std::size_t> reduced;
  for (const CollectiveCall& call : calls) {
    if (call.operation == "start_all_reduce") reduced.push_back(call.count);
  }
  ASSERT_EQ(reduced.size() % 4, 0U);
  for (std::size_t i = reduced.size() / 4; i < reduced.size(); ++i) {
    EXPECT_EQ(reduced[i], reduced[i % (reduced.size() / 4)]);
  }

  // A checkpoint knows nothing of its ranks: that of the first step goes on here as it did there.
  for (const char* from : {"one", "many"}) {
    const std::string onward = folder / (std::string("from_") + from);
    std::filesystem::create_directories(onward + "/checkpoints");
    std::filesystem::copy(folder / (std::string(from) + "/checkpoints/" + checkpoint::file_name(3)),
                          onward + "/checkpoints/" + checkpoint::file_name(3));
  }
  run_on({24, 8}, tree, folder / "from_one", true);
  run_on({9, 4}, tree, folder / "from_many", true);
  const double last = losses(folder / "one").back();
  for (const char* run : {"from_one", "from_many"}) {
    std::ifstream file(folder / (std::string(run) + "/metrics.jsonl"));
    std::string line;
    ASSERT_TRUE(std::getline(file, line));
    EXPECT_NEAR(nlohmann::json::parse(line)["loss"].get<double>(), last, 1e-9 * std::abs(last)) << run;
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, VirtualTraining, testing::Bool());

}  // namespace
}  // namespace tessera::test
