#pragma once
// Invariant: a base model is trained first, without any adapter; runs of adapters begin from its checkpoint.

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "mpi/train/common_folder.hpp"
#include "mpi/train/run_checks.hpp"
#include "mpi/train/toy_run.hpp"
#include "train/adapter_file.hpp"

namespace tessera::test {

/// The toy model in one stage of its own.
inline ConfigTree one_stage(const std::string& data, const std::string& stage,
                            const std::string& precision = "float32") {
  ConfigTree tree = toy_configuration(data, precision);
  tree.merge(ConfigTree::parse(stage, "stage"));
  return tree;
}

inline ConfigTree base_tree(const std::string& data) {
  return one_stage(data, R"(
[[stage]]
name = "base"
steps = 4
resolution = 16
batch = 7
learning_rate = 3e-3
ema_smoothing = 0.7
)");
}

inline std::map<std::string, checkpoint::TensorEntry> group(const checkpoint::Description& description,
                                                            const std::string& name) {
  std::map<std::string, checkpoint::TensorEntry> all;
  for (const auto& entry : description.tensors) {
    if (entry.name.starts_with(name + "/")) all[entry.name.substr(name.size() + 1)] = entry;
  }
  return all;
}

inline std::vector<double> numbers(const std::string& file, const checkpoint::TensorEntry& entry) {
  const std::vector<float> values = checkpoint::read_tensor(file, entry).to_host<float>();
  return {values.begin(), values.end()};
}

struct AdapterRun : testing::Test {
  /// @param settings  laid over the toy configuration: the adapter's tables.
  explicit AdapterRun(std::vector<std::string> settings)
      : adapter_settings(std::move(settings)), world(comm::Communicator::world()), folder(world) {
    make_data(world, folder / "data");
    run_tree(world, base_tree(folder / "data"), folder / "base");
    base_file = folder / ("base/checkpoints/" + checkpoint::file_name(4));
    base = checkpoint::describe(base_file);
  }
  [[nodiscard]] ConfigTree tree(const std::vector<std::string>& settings = {},
                                const std::string& precision = "float32") const {
    ConfigTree tree = one_stage(folder / "data", R"(
[[stage]]
name = "adapted"
steps = 3
resolution = 16
batch = 7
micro_batch = 2
learning_rate = 1e-2
)",
                                precision);
    tree.set("start.checkpoint", FieldValue(base_file));
    for (const std::string& setting : adapter_settings) tree.set(setting);
    for (const std::string& setting : settings) tree.set(setting);
    return tree;
  }
  checkpoint::Description run(const std::string& name, const std::vector<std::string>& settings = {}) {
    EXPECT_EQ(run_tree(world, tree(settings), folder / name), ExitCode::done);
    world.barrier();
    return checkpoint::newest_intact(folder / (name + "/checkpoints")).value().description;
  }
  [[nodiscard]] std::string newest(const std::string& name) const {
    return folder / (name + "/checkpoints/step-00000003.h5");
  }
  /// Rank 0 writes it; all may read it.
  checkpoint::Description exported(const std::string& name,
                                   checkpoint::Weights weights = checkpoint::Weights::preferred) {
    const std::string file = folder / (name + ".h5");
    world.together([&] {
      if (world.rank() == 0) train::export_adapter(registry(), newest(name), weights, file, world.alone());
    });
    world.barrier();
    return checkpoint::verify(file, checkpoint::FileKind::adapter);
  }
  std::string failure(const std::vector<std::string>& settings, bool with_start = true) {
    try {
      ConfigTree refused = tree(settings);
      if (!with_start) {
        refused = one_stage(folder / "data", "");
        for (const std::string& setting : adapter_settings) refused.set(setting);
      }
      run_tree(world, refused, folder / "refused", true);
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  }

  std::vector<std::string> adapter_settings;
  comm::Communicator world;
  CommonFolder folder;
  std::string base_file;
  checkpoint::Description base;
};

}  // namespace tessera::test
