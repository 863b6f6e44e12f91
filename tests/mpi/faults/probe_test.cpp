// What scripts start, kill and look at: none is a test by itself.
#include <gtest/gtest.h>

#include <cstdlib>

#include "mpi/faults/system_calls.hpp"
#include "mpi/train/run_checks.hpp"
#include "mpi/train/toy_run.hpp"

namespace tessera::test {
namespace {

using comm::Communicator;

std::string setting(const char* name, const std::string& otherwise = "") {
  const char* value = std::getenv(name);
  return value == nullptr ? otherwise : value;
}

bool is_short() { return std::getenv("TRAIN_PROBE_SHORT") != nullptr; }

/// 150 steps, with a checkpoint after every fourth: of the toy run (30 when TRAIN_PROBE_SHORT is set), or,
/// when TRAIN_PROBE_STAGED is set, of stages with models of their own in aspect buckets. TRAIN_PROBE_FAULT =
/// "1 write kill_before 17" lets rank 1 be killed before its 17th write to a checkpoint. Leaves calls-RANK,
/// with the number of calls of each kind.
TEST(Probe, DISABLED_Run) {
  const std::string root = setting("TRAIN_PROBE");
  ASSERT_NE(root, "");
  const Communicator world = Communicator::world();
  const bool staged = std::getenv("TRAIN_PROBE_STAGED") != nullptr;
  if (world.rank() == 0 && !std::filesystem::exists(root + "/data")) make_toy_data(root + "/data", staged);
  world.barrier();
  if (const std::string fault = setting("TRAIN_PROBE_FAULT"); !fault.empty()) {
    const std::size_t space = fault.find(' ');
    if (std::stoi(fault.substr(0, space)) == world.rank()) set_fault(fault.substr(space + 1));
  }
  const std::string out = root + "/" + setting("TRAIN_PROBE_RUN", "run");
  if (staged) {
    EXPECT_EQ(run_tree(world, bucketed(staged_configuration(root + "/data", "float32")), out, true, {},
                       {"run.checkpoint_every=4", "stage.0.steps=30", "stage.1.steps=40", "stage.2.steps=40",
                        "stage.3.steps=40"}),
              ExitCode::done);
  } else {
    EXPECT_EQ(run_tree(world, toy_configuration(root + "/data", "float32"), out, true, {},
                       {"run.checkpoint_every=4", is_short() ? "stage.0.steps=18" : "stage.0.steps=90",
                        is_short() ? "stage.1.steps=12" : "stage.1.steps=60"}),
              ExitCode::done);
  }
  io::replace_file(root + "/calls-" + std::to_string(world.rank()), calls_by_kind());
}

/// Whether the run ended as the one that nothing happened to.
TEST(Probe, DISABLED_Compare) {
  const std::string root = setting("TRAIN_PROBE");
  ASSERT_NE(root, "");
  const std::string run = root + "/" + setting("TRAIN_PROBE_RUN", "cut");
  EXPECT_EQ(losses(root + "/whole").size(), is_short() ? 30U : 150U);
  EXPECT_EQ(losses(run), losses(root + "/whole"));
  EXPECT_EQ(final_bits(run), final_bits(root + "/whole"));
}

/// Whether every checkpoint under its final name is intact.
TEST(Probe, DISABLED_Intact) {
  const std::string run = setting("TRAIN_PROBE") + "/" + setting("TRAIN_PROBE_RUN", "cut");
  for (const auto& file : checkpoint::list(run + "/checkpoints")) {
    EXPECT_NO_THROW((void)checkpoint::verify(file)) << file;
  }
}

}  // namespace
}  // namespace tessera::test
