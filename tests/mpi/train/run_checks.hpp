#pragma once
// What tests of whole runs ask of them.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "checkpoint/checkpoint_folder.hpp"
#include "mpi/train/toy_run.hpp"

namespace tessera::test {

/// -1 where there is none, because all steps of a report were left out.
inline std::vector<double> losses_with_gaps(const std::string& run) {
  std::vector<double> values;
  std::ifstream file(run + "/metrics.jsonl");
  for (std::string line; std::getline(file, line);) {
    const auto report = nlohmann::json::parse(line);
    EXPECT_EQ(report["step"].get<std::size_t>(), values.size() + 1);
    values.push_back(report["loss"].is_null() ? -1 : report["loss"].get<double>());
  }
  return values;
}

inline std::vector<double> losses(const std::string& run) {
  const std::vector<double> values = losses_with_gaps(run);
  EXPECT_EQ(std::ranges::count(values, -1.0), 0);
  return values;
}

/// Largest relative difference at any step.
inline double difference(const std::vector<double>& a, const std::vector<double>& b) {
  EXPECT_EQ(a.size(), b.size());
  double worst = 0;
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    worst = std::max(worst, std::abs(a[i] - b[i]) / std::abs(b[i]));
  }
  return worst;
}

/// Checksums of all tensors of the newest checkpoint, in order.
inline std::vector<std::uint32_t> final_bits(const std::string& run) {
  const auto found = checkpoint::newest_intact(run + "/checkpoints");
  std::vector<std::uint32_t> checksums;
  for (const auto& tensor : found.value().description.tensors) checksums.push_back(tensor.crc);
  return checksums;
}

inline ExitCode run_tree(const comm::Communicator& world, ConfigTree tree, const std::string& out,
                         bool resume = false, const train::Hooks& hooks = {},
                         const std::vector<std::string>& settings = {}) {
  for (const std::string& setting : settings) tree.set(setting);
  return train::train(train::RunConfig::resolve(tree), registry(), world, out, resume, hooks);
}

inline void make_data(const comm::Communicator& world, const std::string& folder, bool buckets = false,
                      std::uint64_t seed = 1) {
  if (world.rank() == 0) make_toy_data(folder, buckets, {}, seed);
  world.barrier();
}

/// What a power cut does to a run, as far as one process can show it: everything in memory is lost.
struct PowerCut {};

/// A run that is cut after the steps of `cuts` and resumed each time. Throws what a hook of it throws.
inline void run_with_cuts(const comm::Communicator& world, const ConfigTree& tree, const std::string& out,
                          const std::vector<std::int64_t>& cuts, std::int64_t checkpoint_every) {
  bool resume = false;
  for (const std::int64_t last : cuts) {
    train::Hooks hooks;
    hooks.sample = [&](const train::SampleRequest& request) -> io::Image {
      if (request.global_step == last) throw PowerCut{};
      return {};
    };
    EXPECT_THROW(run_tree(world, tree, out, resume, hooks,
                          {"run.sample_every=1", "run.sample_prompts=[\"one\"]",
                           "run.checkpoint_every=" + std::to_string(checkpoint_every)}),
                 PowerCut)
        << "cut after step " << last;
    world.barrier();
    resume = true;
  }
  EXPECT_EQ(run_tree(world, tree, out, resume), ExitCode::done);
}

}  // namespace tessera::test
