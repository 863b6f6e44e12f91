// A run that begins from another one's checkpoint.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "mpi/train/common_folder.hpp"
#include "mpi/train/run_checks.hpp"
#include "mpi/train/toy_run.hpp"

namespace tessera::test {
namespace {

using checkpoint::Description;
using comm::Communicator;
using testing::HasSubstr;

/// One stage that only looks: a learning rate of zero leaves the weights as they were handed over.
ConfigTree idle_tree(const std::string& data, const std::string& file) {
  ConfigTree tree = toy_configuration(data, "float32");
  tree.merge(ConfigTree::parse(R"(
[[stage]]
name = "tuned"
steps = 2
resolution = 32
batch = 5
learning_rate = 0.0
ema_smoothing = 0.9
position_scale = 2.0
)",
                               "tuned"));
  tree.set("start.checkpoint", FieldValue(file));
  return tree;
}

std::map<std::string, std::uint32_t> checksums(const Description& description, const std::string& group) {
  std::map<std::string, std::uint32_t> all;
  for (const auto& tensor : description.tensors) {
    if (tensor.name.starts_with(group + "/")) all[tensor.name.substr(group.size() + 1)] = tensor.crc;
  }
  return all;
}

struct Start : testing::Test {
  Start() : world(Communicator::world()), folder(world) {
    make_data(world, folder / "data");
    run_tree(world, toy_configuration(folder / "data", "float32"), folder / "first");
    file = folder / ("first/checkpoints/" + checkpoint::file_name(50));
    first = checkpoint::describe(file);
  }
  /// The newest checkpoint of a run from `file`.
  Description run(const std::string& name, const std::vector<std::string>& settings = {}) {
    EXPECT_EQ(run_tree(world, idle_tree(folder / "data", file), folder / name, false, {}, settings),
              ExitCode::done);
    world.barrier();
    return checkpoint::newest_intact(folder / (name + "/checkpoints")).value().description;
  }
  std::string failure(const std::vector<std::string>& settings) {
    try {
      run_tree(world, idle_tree(folder / "data", file), folder / "refused", true, {}, settings);
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  }

  Communicator world;
  CommonFolder folder;
  std::string file;
  Description first;
};

TEST_F(Start, TakesTheWeightsThatItNames) {
  ASSERT_NE(checksums(first, "model"), checksums(first, "average"));
  const Description trained = run("trained");
  EXPECT_EQ(checksums(trained, "model"), checksums(first, "model"));
  EXPECT_EQ(trained.state.optimizer_updates, 2);
  EXPECT_EQ(trained.state.global_step, 2);
  EXPECT_EQ(trained.state.samples_seen, 10);
  EXPECT_EQ(checksums(run("average", {"start.weights=average"}), "model"), checksums(first, "average"));
  EXPECT_EQ(checksums(run("preferred", {"start.weights=preferred"}), "model"), checksums(first, "average"));
}

TEST_F(Start, FullGoesOnWithTheOptimizer) {
  const Description full = run("full", {"start.hand_over=full"});
  EXPECT_EQ(full.state.optimizer_updates, first.state.optimizer_updates + 2);
  EXPECT_TRUE(full.state.average_active);
  EXPECT_EQ(checksums(full, "model"), checksums(first, "model"));
  // The average it had, drawn towards the weights: neither the old one nor one that began anew.
  EXPECT_NE(checksums(full, "average"), checksums(first, "average"));
  EXPECT_NE(checksums(full, "average"), checksums(first, "model"));
  EXPECT_EQ(checksums(run("new"), "average"), checksums(first, "model"));
}

TEST_F(Start, AnotherModelTakesWhatFits) {
  const Description other = run("other", {"model.patch_mixer={name=\"none\"}"});
  const auto before = checksums(first, "model");
  const auto after = checksums(other, "model");
  EXPECT_LT(after.size(), before.size());
  for (const auto& [name, crc] : after) EXPECT_EQ(crc, before.at(name)) << name;
  EXPECT_THAT(io::read_file(folder / "other/log.txt"), HasSubstr("left behind: "));
  EXPECT_THAT(io::read_file(folder / "other/log.txt"), HasSubstr("patch_mixer"));
}

TEST_F(Start, TheFileIsRecordedAndNotNeededAnyMore) {
  const std::vector<std::string> moving{"stage.0.learning_rate=1e-3", "stage.0.steps=6"};
  const Description whole = run("whole", moving);
  const std::string digest = checkpoint::digest(first);
  EXPECT_EQ(digest.size(), 16U);
  for (const char* where : {"whole/log.txt", "whole/config.toml"}) {
    EXPECT_THAT(io::read_file(folder / where), HasSubstr(digest)) << where;
    EXPECT_THAT(io::read_file(folder / where), HasSubstr(file)) << where;
  }
  EXPECT_THAT(whole.state.config, HasSubstr(digest));

  std::vector<std::string> stopping = moving;
  stopping.emplace_back("run.max_minutes=1e-9");
  const ConfigTree tree = idle_tree(folder / "data", file);
  EXPECT_EQ(run_tree(world, tree, folder / "cut", false, {}, stopping), ExitCode::resume_later);
  world.barrier();
  if (world.rank() == 0) std::filesystem::remove(file);
  world.barrier();
  EXPECT_EQ(run_tree(world, tree, folder / "cut", true, {}, moving), ExitCode::done);
  EXPECT_EQ(final_bits(folder / "cut"), final_bits(folder / "whole"));
  world.barrier();
  const std::string log = io::read_file(folder / "cut/log.txt");
  EXPECT_THAT(log.substr(log.find("The configuration differs")), HasSubstr("max_minutes"));
  EXPECT_THAT(log.substr(log.find("The configuration differs")), testing::Not(HasSubstr("digest =")));
  EXPECT_THAT(failure({}), HasSubstr("step-00000050.h5"));
}

TEST_F(Start, RefusesWhatDoesNotFitBeforeTheFirstStep) {
  EXPECT_THAT(failure({"start.digest=0123456789abcdef"}), HasSubstr(checkpoint::digest(first)));
  EXPECT_THAT(failure({"start.weights=averaged"}), HasSubstr("start.weights"));
  EXPECT_THAT(failure({"start.checkpiont=x"}), HasSubstr("checkpoint"));
  EXPECT_THAT(failure({"start.hand_over=fully"}), HasSubstr("did you mean 'full'"));
  EXPECT_THAT(failure({"start.hand_over=full", "model.patch_mixer={name=\"none\"}"}),
              HasSubstr("patch_mixer"));
  EXPECT_THAT(failure({"start.hand_over=full", "start.weights=average"}), HasSubstr("trained"));
  EXPECT_THAT(failure({"model.backbone.width=48", "model.patch_mixer={name=\"none\"}",
                       "model.backbone.depth=1", "start.hand_over=dit-reparameterise"}),
              HasSubstr("'adaln-single'"));
  const std::string small = folder / ("first/checkpoints/" + checkpoint::file_name(30));
  EXPECT_THAT(failure({"start.checkpoint=" + small, "start.weights=average"}),
              HasSubstr("no running average"));
  EXPECT_TRUE(losses(folder / "refused").empty());
}

}  // namespace
}  // namespace tessera::test
