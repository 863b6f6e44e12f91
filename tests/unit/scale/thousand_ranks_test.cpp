// A thousand ranks at once: data order, gradient sums, optimizer slices and checkpoints of the production
// code.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "comm/virtual_ranks.hpp"
#include "data/loader.hpp"
#include "io/main_thread.hpp"
#include "mpi/train/run_checks.hpp"
#include "mpi/train/toy_run.hpp"
#include "train/model_state.hpp"
#include "train/stage_checks.hpp"
#include "unit/io/temporary_folder.hpp"

namespace tessera::test {
namespace {

using comm::Communicator;
constexpr comm::VirtualCluster kCluster{1024, 8};

data::LoaderConfig loading(const Communicator& world, std::uint64_t batch) {
  return {.resolution = 16,
          .buckets = true,
          .global_batch = batch,
          .rank = static_cast<std::uint64_t>(world.rank()),
          .ranks = static_cast<std::uint64_t>(world.size()),
          .seed = 3};
}

/// Every rank reads its share of real shards; together they read the step's batch.
TEST(ThousandRanks, ReadTheBatchOfOne) {
  const TemporaryFolder folder;
  make_toy_data(folder / "data", true);
  constexpr std::uint64_t kBatch = 1030;
  std::vector<std::vector<data::Draw>> drawn(2, std::vector<data::Draw>(kBatch));
  std::vector<std::uint64_t> counted(2, 0);
  std::vector<std::set<std::uint32_t>> buckets(2);
  std::vector<float> first_latent;
  comm::run_virtual_ranks(kCluster, [&](const Communicator& world) {
    const io::MainThreadRole one_at_a_time;
    const data::ShardIndex index = train::index_of_shards({folder / "data"}, world);
    const auto dataset = std::make_shared<const data::Dataset>(index);
    data::Loader loader(dataset, loading(world, kBatch));
    for (std::size_t step = 0; step < drawn.size(); ++step) {
      const data::HostBatch& batch = loader.next();
      ASSERT_LE(batch.position + batch.samples, kBatch);
      std::ranges::copy(batch.draws, drawn[step].begin() + static_cast<std::ptrdiff_t>(batch.position));
      counted[step] += batch.samples;
      buckets[step].insert(batch.bucket);
      if (world.rank() == 0 && step == 0) first_latent = batch.latents;
      world.barrier();
    }
  });
  const data::Dataset dataset({folder / "data"});
  data::LoaderConfig one{.resolution = 16, .buckets = true, .global_batch = kBatch, .seed = 3};
  data::DrawPlan plan(dataset, one);
  for (std::size_t step = 0; step < drawn.size(); ++step) {
    data::MicroDraws expected;
    plan.find(step, expected);
    EXPECT_EQ(counted[step], kBatch);
    EXPECT_EQ(drawn[step], expected.draws);
    EXPECT_THAT(buckets[step], testing::ElementsAre(expected.bucket));
  }
  data::Loader loader(std::make_shared<const data::Dataset>(std::vector<std::string>{folder / "data"}), one);
  const data::HostBatch& batch = loader.next();
  EXPECT_TRUE(std::equal(first_latent.begin(), first_latent.end(), batch.latents.begin()));
}

/// One optimizer step and its checkpoint, with gradients that tell of which element and rank they are.
class Step {
 public:
  Step(const Communicator& world, const train::RunConfig& config)
      : world_(world),
        components_(registry(), config.stage_tree(0)),
        model_(components_.backbone(), nn::Precision::named("float64"), config.optimizer, false, 5, world) {}

  /// @param first, last  the ranks, of the thousand, whose gradients this one brings
  void run(int first, int last) {
    train::GradientRoute& route = model_.route();
    route.begin_step();
    const auto slots = model_.store().trainable_slots();
    for (std::size_t i = 0; i < slots.size(); ++i) {
      const Shape& shape = slots[i].parameter->shape();
      const Tensor gradient = Tensor::zeros(shape, DType::f64);
      for (int rank = first; rank < last; ++rank) {
        for (std::int64_t e = 0; e < slots[i].count; ++e) {
          gradient.data<double>()[e] += static_cast<double>((slots[i].offset + e) % 5 + rank % 3 - 1) / 1024;
        }
      }
      ops::backward(slots[i].parameter->master(), gradient);
      route.complete(i);
    }
    route.end_step(1, 1);
    comm::SummedGradients& sums = model_.sums();
    sums.finish();
    norm = sums.sum_of_squares();
    ASSERT_EQ(sums.my_parts().size(), 1U);
    slice = sums.my_parts().front();
    model_.update({.learning_rate = 1e-2});
    sums.publish();
  }
  void save(const std::string& file) {
    checkpoint::RunState state;
    state.precision = "float64";
    state.optimizer_updates = model_.optimizer().updates();
    checkpoint::save(file, state, model_.store(), model_.arenas(), world_);
  }
  [[nodiscard]] train::ModelState& model() { return model_; }

  double norm = 0;
  comm::Slice slice;

 private:
  Communicator world_;
  RunComponents components_;
  train::ModelState model_;
};

std::vector<double> values_in(const checkpoint::Description& description, const std::string& file,
                              const std::string& group) {
  std::vector<double> values;
  for (const checkpoint::TensorEntry& entry : description.tensors) {
    if (!entry.name.starts_with(group)) continue;
    const std::vector<double> more = checkpoint::read_tensor(file, entry).to_host<double>();
    values.insert(values.end(), more.begin(), more.end());
  }
  return values;
}

TEST(ThousandRanks, SumUpdateAndSaveAsOne) {
  const TemporaryFolder folder;
  ConfigTree tree = toy_configuration("unused", "float64");
  for (const char* setting :
       {"model.backbone.width=16", "model.backbone.head_dim=8", "model.backbone.depth=1",
        "model.patch_mixer={name=\"none\"}", "model.experts.multiple_of=4"}) {
    tree.set(setting);
  }
  const train::RunConfig config = train::RunConfig::resolve(tree);
  double norm = 0;
  comm::run_virtual_ranks({1, 1}, [&](const Communicator& world) {
    const io::MainThreadRole one_at_a_time;
    Step step(world, config);
    step.run(0, 1024);
    norm = step.norm;
    step.save(folder / "one.h5");
  });
  std::vector<comm::Slice> slices(1024);
  std::size_t elements = 0;
  const auto calls = comm::run_virtual_ranks(kCluster, [&](const Communicator& world) {
    const io::MainThreadRole one_at_a_time;
    Step step(world, config);
    step.run(world.rank(), world.rank() + 1);
    EXPECT_NEAR(step.norm, norm, 1e-12 * norm);
    slices[static_cast<std::size_t>(world.rank())] = step.slice;
    elements = static_cast<std::size_t>(step.model().store().trainable_elements());
    step.save(folder / "many.h5");
    // What was written by all of them is read by all of them.
    step.model().load(checkpoint::describe(folder / "many.h5"), folder / "many.h5");
  });
  std::size_t reduced = 0;
  for (const comm::CollectiveCall& call : calls)
    reduced += call.operation == "start_all_reduce" ? call.count : 0;
  EXPECT_EQ(reduced, elements);
  for (std::size_t rank = 0; rank < slices.size(); ++rank) {  // a node's ranks update every element once
    EXPECT_EQ(slices[rank].begin, rank % 8 == 0 ? 0 : slices[rank - 1].end);
    if (rank % 8 == 7) {
      EXPECT_EQ(slices[rank].end, elements);
    }
  }
  const checkpoint::Description one = checkpoint::verify(folder / "one.h5");
  const checkpoint::Description many = checkpoint::verify(folder / "many.h5");
  for (const char* group : {"model/", "first_moment/", "second_moment/"}) {
    const std::vector<double> expected = values_in(one, folder / "one.h5", group);
    const std::vector<double> found = values_in(many, folder / "many.h5", group);
    ASSERT_EQ(found.size(), expected.size());
    ASSERT_GE(found.size(), 1000U);
    double worst = 0;
    for (std::size_t i = 0; i < found.size(); ++i) worst = std::max(worst, std::abs(found[i] - expected[i]));
    EXPECT_LT(worst, 1e-12) << group;
  }
}

}  // namespace
}  // namespace tessera::test
