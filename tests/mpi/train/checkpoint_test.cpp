// A checkpoint is the same file whoever wrote it, and no damage to it goes unnoticed.
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <cstring>

#include "checkpoint/checkpoint_folder.hpp"
#include "comm/slice.hpp"
#include "io/file.hpp"
#include "mpi/train/common_folder.hpp"
#include "mpi/train/toy_checkpoint.hpp"

namespace tessera::checkpoint {
namespace {

using comm::Communicator;
using test::CommonFolder;
using test::sample_state;
using test::Toy;

TEST(Checkpoint, ComesBackOnAnyNumberOfRanks) {
  const Communicator world = Communicator::world();
  const CommonFolder folder(world);
  const Toy written(7);
  save(folder / "a.h5", sample_state(), written.store, written.arenas(), world);
  const Description found = verify(folder / "a.h5");
  EXPECT_EQ(found.state.config, sample_state().config);
  EXPECT_EQ(found.state.plugins, sample_state().plugins);
  EXPECT_EQ(found.state.stage_name, sample_state().stage_name);
  EXPECT_EQ(found.state.samples_seen, sample_state().samples_seen);
  EXPECT_EQ(found.state.optimizer_updates, 111);
  EXPECT_TRUE(found.state.average_active);
  EXPECT_EQ(found.state.loss_sum, 0.1);
  ASSERT_EQ(found.tensors.size(), 6U);
  EXPECT_EQ(found.tensors[0].name, "model/head.weight");
  EXPECT_EQ(found.tensors[0].shape, (std::vector<std::int64_t>{1, 37}));

  const Toy all(8), alone(9);
  load(found, folder / "a.h5", all.store, all.arenas(), world);
  load(found, folder / "a.h5", alone.store, alone.arenas(), world.alone());
  // Ranks that load together read a part each: here every rank has memory of its own, so it sees its part.
  const comm::Slice part = comm::slice_of(static_cast<std::size_t>(all.store.arena_elements()), world.rank(),
                                          world.size(), nn::ParameterStore::alignment);
  EXPECT_EQ(all.bytes().substr(4 * part.begin, 4 * part.size()),
            written.bytes().substr(4 * part.begin, 4 * part.size()));
  EXPECT_EQ(alone.bytes(), written.bytes());
  Toy weights(10);
  (void)load_weights(folder / "a.h5", weights.store, Weights::trained);
  EXPECT_EQ(weights.bytes(), written.bytes());
  EXPECT_THROW((void)load_weights(folder / "a.h5", weights.store, Weights::average), Error);
  Toy wide(10, "float64");
  (void)load_weights(folder / "a.h5", wide.store);
  EXPECT_EQ(wide.store.values().data<double>()[3],
            static_cast<double>(written.store.values().data<float>()[3]));
}

TEST(Checkpoint, TheFileDoesNotDependOnTheRanks) {
  const Communicator world = Communicator::world();
  const CommonFolder folder(world);
  const Toy toy(7);
  save(folder / "all.h5", sample_state(), toy.store, toy.arenas(), world);
  if (world.rank() == 0) {
    save(folder / "one.h5", sample_state(), toy.store, toy.arenas(), world.alone());
    const auto all = describe(folder / "all.h5"), one = describe(folder / "one.h5");
    for (std::size_t i = 0; i < one.tensors.size(); ++i) {
      EXPECT_EQ(all.tensors[i].crc, one.tensors[i].crc);
      EXPECT_EQ(all.tensors[i].offset, one.tensors[i].offset);
    }
  }
}

TEST(Checkpoint, AnotherModelIsRefused) {
  const Communicator world = Communicator::world();
  const CommonFolder folder(world);
  const Toy toy(7);
  save(folder / "a.h5", sample_state(), toy.store, toy.arenas(), world);
  Toy other(7, "float32", 38);
  try {
    (void)load_weights(folder / "a.h5", other.store);
    ADD_FAILURE() << "loaded";
  } catch (const Error& error) {
    EXPECT_NE(error.summary().find("[1, 37]"), std::string::npos) << error.what();
    EXPECT_NE(error.summary().find("[1, 38]"), std::string::npos) << error.what();
  }
}

TEST(Checkpoint, AFullDiskLeavesTheOldFile) {
  const Communicator world = Communicator::world();
  const CommonFolder folder(world);
  const Toy toy(7);
  save(folder / "a.h5", sample_state(), toy.store, toy.arenas(), world);
  const std::string before = io::read_file(folder / "a.h5");
  // A limit on the size of files fails writes and reservations as a full disk does.
  rlimit old{};
  getrlimit(RLIMIT_FSIZE, &old);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{before.size() - 2000, old.rlim_max};
  setrlimit(RLIMIT_FSIZE, &small);
  EXPECT_THROW(save(folder / "a.h5", sample_state(), toy.store, toy.arenas(), world), Error);
  setrlimit(RLIMIT_FSIZE, &old);
  std::signal(SIGXFSZ, handler);
  world.barrier();
  EXPECT_EQ(io::read_file(folder / "a.h5"), before);
  if (world.rank() == 0) {
    std::size_t files = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder / "")) ++files;
    EXPECT_EQ(files, 1U);
  }
}

TEST(Checkpoint, NoDamagedByteIsAccepted) {
  const Communicator world = Communicator::world();
  if (world.rank() != 0) return;
  const CommonFolder folder(world.alone());
  const Toy toy(7);
  RunState state = sample_state();
  state.config = "seed = 3\n";
  save(folder / "a.h5", state, toy.store, toy.arenas(), world.alone());
  const std::string content = io::read_file(folder / "a.h5");
  const std::size_t seal = 40 + 6 * 16 + 4;  // the rest of the user block is not read
  const io::File file = io::File::open_update(folder / "a.h5");
  for (std::size_t at = 0; at < content.size(); at += at < 300 ? 1 : 97) {
    if (at >= seal && at < 4096) continue;
    const char changed = static_cast<char>(content[at] ^ 0x21);
    file.write_at(&changed, 1, at);
    EXPECT_THROW(verify(folder / "a.h5"), Error) << at;
    file.write_at(&content[at], 1, at);
  }
  EXPECT_NO_THROW(verify(folder / "a.h5"));
  for (std::size_t bytes = 0; bytes < content.size(); bytes += 501) {
    io::replace_file(folder / "cut.h5", content.substr(0, bytes));
    EXPECT_THROW(verify(folder / "cut.h5"), Error) << bytes;
  }
}

void save_into(const std::string& folder, const Retention& retention, const RunState& state, const Toy& toy,
               const Communicator& world) {
  start_save(folder, retention, state, toy.store, toy.arenas(), world, Writing::overlapped)->finish();
  world.barrier();
}

std::vector<std::string> names_in(const std::string& folder) {
  std::vector<std::string> names;
  for (const auto& file : list(folder)) names.push_back(file.filename().string());
  return names;
}

TEST(CheckpointFolder, KeepsSomeForGood) {
  const Communicator world = Communicator::world();
  const CommonFolder folder(world);
  const Toy toy(7);
  RunState state = sample_state();
  for (std::int64_t step = 10; step <= 90; step += 10) {
    state.global_step = step;
    save_into(folder / "", {.newest = 2, .every = 30}, state, toy, world);
  }
  EXPECT_EQ(names_in(folder / ""), (std::vector{file_name(90), file_name(80), file_name(60), file_name(30)}));
  world.barrier();
  // Asked for none, it still keeps the newest; those that were kept for good go with the rule.
  state.global_step = 100;
  save_into(folder / "", {.newest = 0, .every = 0}, state, toy, world);
  EXPECT_EQ(names_in(folder / ""), std::vector{file_name(100)});
}

TEST(CheckpointFolder, KeepsTheNewestAndFallsBack) {
  const Communicator world = Communicator::world();
  const CommonFolder folder(world);
  const Toy toy(7);
  RunState state = sample_state();
  EXPECT_FALSE(newest_intact(folder / "none"));
  for (const std::int64_t step : {1, 2, 3}) {
    state.global_step = step;
    save_into(folder / "", {.newest = 2}, state, toy, world);
  }
  world.barrier();
  ASSERT_EQ(list(folder / "").size(), 2U);
  EXPECT_EQ(newest_intact(folder / "").value().description.state.global_step, 3);
  world.barrier();
  const auto spoil = [&](std::int64_t step) {
    world.barrier();
    if (world.rank() == 0) {
      std::filesystem::resize_file(std::filesystem::path(folder / "") / file_name(step), 5000);
    }
    world.barrier();
  };
  spoil(3);
  EXPECT_EQ(newest_intact(folder / "").value().description.state.global_step, 2);
  // The damaged one does not count among those to keep.
  state.global_step = 2;
  save_into(folder / "", {.newest = 1}, state, toy, world);
  EXPECT_EQ(newest_intact(folder / "").value().description.state.global_step, 2);
  spoil(2);
  EXPECT_THROW((void)newest_intact(folder / ""), Error);
}

}  // namespace
}  // namespace tessera::checkpoint
