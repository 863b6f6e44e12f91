// A checkpoint that is written while training goes on holds what was there when it began, and is nowhere
// until it is whole.
#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <thread>

#include "checkpoint/checkpoint_folder.hpp"
#include "mpi/faults/log_lines.hpp"
#include "mpi/faults/short_run.hpp"
#include "mpi/train/toy_checkpoint.hpp"
#include "tensor/allocator.hpp"
#include "train/metrics.hpp"

namespace tessera::test {
namespace {

using checkpoint::PendingSave;
using checkpoint::Writing;
using comm::Communicator;

bool wait_for(const std::function<bool()>& what) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(1);
  while (!what() && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
  return what();
}

TEST(PendingSave, HoldsWhatWasThereWhenItBegan) {
  const Communicator world = Communicator::world();
  const CommonFolder folder(world);
  const Toy toy(7), as_it_was(7), loaded(8);
  const bool slow = world.rank() == world.size() - 1;
  if (slow) set_fault({Call::write, Effect::hold});
  PendingSave save(folder / "a.h5", sample_state(), toy.store, toy.arenas(), world);
  EXPECT_EQ(save.writing(), Writing::overlapped);
  if (slow) {
    await_strike();
    EXPECT_FALSE(save.ready());
  } else {
    EXPECT_TRUE(wait_for([&] { return save.ready(); }));
  }
  toy.store.values().fill_zero();  // training goes on
  toy.moments.fill_zero();
  world.barrier();
  EXPECT_FALSE(std::filesystem::exists(folder / "a.h5"));
  clear_fault();
  EXPECT_FALSE(save.advance());
  EXPECT_TRUE(save.advance());
  EXPECT_TRUE(save.advance());
  const auto found = checkpoint::verify(folder / "a.h5");
  checkpoint::load(found, folder / "a.h5", loaded.store, loaded.arenas(), world.alone());
  EXPECT_TRUE(loaded.bytes() == as_it_was.bytes());
  EXPECT_FALSE(loaded.bytes() == toy.bytes());
}

TEST(PendingSave, WithoutACopyHoldsWhatIsThereWhenItIsWritten) {
  const Communicator world = Communicator::world();
  const CommonFolder folder(world);
  const Toy toy(7), loaded(8);
  PendingSave save(folder / "a.h5", sample_state(), toy.store, toy.arenas(), world,
                   {.writing = Writing::at_once});
  EXPECT_TRUE(save.ready());
  toy.store.values().fill_zero();
  world.barrier();
  save.finish();
  const auto found = checkpoint::verify(folder / "a.h5");
  checkpoint::load(found, folder / "a.h5", loaded.store, loaded.arenas(), world.alone());
  EXPECT_TRUE(loaded.bytes() == toy.bytes());
}

TEST(PendingSave, GivesTheMemoryOfTheCopyBack) {
  const Communicator world = Communicator::world();
  const CommonFolder folder(world);
  const Toy toy(7, "float32", 500'000);  // 28 MB in all
  keep_freed_memory();                   // as programs do
  const auto memory = [&] {
    world.barrier();
    return world.ordered_sum(train::proportional_memory()) / 1e6;
  };
  PendingSave(folder / "a.h5", sample_state(), toy.store, toy.arenas(), world)
      .finish();  // whatever libraries take for good
  const double before = memory();
  if (world.rank() == 0) set_fault({Call::sync, Effect::hold});
  PendingSave pending(folder / "a.h5", sample_state(), toy.store, toy.arenas(), world);
  if (world.rank() == 0) await_strike();
  while (world.rank() != 0 && !pending.ready()) std::this_thread::yield();
  EXPECT_LT(memory() - before, 4);  // the bytes are written, the sync is not over
  clear_fault();
  pending.finish();
  EXPECT_LT(memory() - before, 4);
}

TEST(PendingSave, GivenUpItLeavesNothing) {
  const Communicator world = Communicator::world();
  const CommonFolder folder(world);
  const Toy toy(7);
  checkpoint::save(folder / "a.h5", sample_state(), toy.store, toy.arenas(), world);
  const std::string before = io::read_file(folder / "a.h5");
  toy.store.values().fill_zero();
  world.barrier();
  {
    set_fault({Call::write, Effect::hold});
    const PendingSave save(folder / "a.h5", sample_state(), toy.store, toy.arenas(), world);
    await_strike();
    clear_fault();
  }
  world.barrier();
  EXPECT_TRUE(io::read_file(folder / "a.h5") == before);
  std::size_t files = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder / "")) ++files;
  EXPECT_EQ(files, 1U);
  world.barrier();
}

TEST(Overlap, TrainingGoesOnWhileACheckpointIsWritten) {
  const Communicator world = Communicator::world();
  const ShortRuns runs(world);
  const int last = world.size() - 1;
  bool absent_at_7 = false, was_due = false;
  EXPECT_EQ(runs.go("run", false,
                    [&](std::int64_t step) {
                      if (step == 3 && world.rank() == last) set_fault({Call::write, Effect::hold});
                      if (step != 7) return;
                      if (world.rank() == last) await_strike();
                      world.barrier();
                      absent_at_7 = !std::filesystem::exists(runs.checkpoint("run", 4));
                      was_due = true;
                      world.barrier();
                      clear_fault();
                    }),
            ExitCode::done);
  EXPECT_TRUE(was_due);
  EXPECT_TRUE(absent_at_7);
  runs.expect_same("run");
  EXPECT_EQ(runs.files("run"), (std::vector{checkpoint::file_name(16), checkpoint::file_name(18)}));
}

TEST(Overlap, ARunWithoutItIsTheSame) {
  const Communicator world = Communicator::world();
  const ShortRuns runs(world);
  int seen = 0;
  EXPECT_EQ(runs.go("run", false,
                    [&](std::int64_t step) {
                      seen += step == 4 && std::filesystem::exists(runs.checkpoint("run", 4)) ? 1 : 0;
                    },
                    {"run.overlap_checkpoints=false"}),
            ExitCode::done);
  EXPECT_EQ(seen, 1);
  runs.expect_same("run");
}

TEST(Overlap, WithoutMemoryForACopyTrainingWaits) {
  const Communicator world = Communicator::world();
  const ShortRuns runs(world);
  if (world.rank() == 0) io::replace_file(runs / "meminfo", "MemTotal: 1000 kB\nMemAvailable: 100 kB\n");
  world.barrier();
  const LogLines log;
  int seen = 0;
  EXPECT_EQ(runs.go("run", false,
                    [&](std::int64_t step) {
                      // One rank that has none is enough for all to wait.
                      if (step == 2 && world.rank() == world.size() - 1) set_memory_file(runs / "meminfo");
                      seen += step == 4 && std::filesystem::exists(runs.checkpoint("run", 4)) ? 1 : 0;
                      if (step == 9) set_memory_file("");
                    }),
            ExitCode::done);
  set_memory_file("");
  EXPECT_EQ(seen, 1);
  EXPECT_EQ(log.has("no memory for a copy"), world.rank() == 0) << log.text();
  runs.expect_same("run");
}

TEST(Overlap, AStopWaitsForTheCheckpointInFlight) {
  const Communicator world = Communicator::world();
  const ShortRuns runs(world);
  const int last = world.size() - 1;
  std::thread releases;
  EXPECT_EQ(runs.go("run", false,
                    [&](std::int64_t step) {
                      if (step == 3 && world.rank() == last) set_fault({Call::write, Effect::hold});
                      if (step != 5 || world.rank() != last) return;
                      await_strike();
                      releases = std::thread([] {
                        std::this_thread::sleep_for(std::chrono::milliseconds(100));
                        clear_fault();
                      });
                      std::raise(SIGUSR1);
                    }),
            ExitCode::resume_later);
  if (releases.joinable()) releases.join();
  // The one of step 4, then that of the step after the signal.
  EXPECT_EQ(runs.files("run"), (std::vector{checkpoint::file_name(4), checkpoint::file_name(6)}));
  EXPECT_NO_THROW((void)checkpoint::verify(runs.checkpoint("run", 4)));
  runs.expect_same_end("run");
}

}  // namespace
}  // namespace tessera::test
