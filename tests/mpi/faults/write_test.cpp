// Whatever the disk does to a checkpoint, all ranks end with one Error that says so, the checkpoint before it
// stays, and the resumed run ends in the same bits.
#include <gtest/gtest.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <optional>

#include "mpi/faults/short_run.hpp"
#include "mpi/train/toy_checkpoint.hpp"

namespace tessera::test {
namespace {

using comm::Communicator;

struct Disturbance {
  const char* name;
  bool on_last_rank;  ///< else on rank 0, which alone does this
  Fault fault;
  const char* said;
};

const std::vector<Disturbance> disturbances{
    {"disk full while writing", true, {Call::write, Effect::fail, ENOSPC}, "No space left"},
    {"disk full half-way", true, {Call::write, Effect::fail, ENOSPC, 9}, "No space left"},
    {"disk full before writing", false, {Call::reserve, Effect::fail, ENOSPC}, "No space left"},
    {"quota", false, {Call::reserve, Effect::fail, EDQUOT, 2}, "quota"},
    {"fault of the disk", true, {Call::write, Effect::fail, EIO}, "Input/output error"},
    {"fault told by sync", true, {Call::sync, Effect::fail, EIO}, "Input/output error"},
    {"fault while reading back", true, {Call::read, Effect::fail, EIO}, "Input/output error"},
    {"another bit on the disk", true, {Call::write, Effect::spoil}, "reads back differently"},
    {"disk mounted read-only", false, {Call::create, Effect::fail, EROFS}, "Read-only"},
    {"no rename", false, {Call::rename, Effect::fail, EACCES}, "denied"}};

TEST(Faults, OfTheDiskAreOneErrorAndLeaveTheCheckpointBefore) {
  const Communicator world = Communicator::world();
  const ShortRuns runs(world);
  const int last = world.size() - 1;
  for (std::size_t i = 0; i < disturbances.size(); ++i) {
    const Disturbance& disturbance = disturbances[i];
    SCOPED_TRACE(disturbance.name);
    const std::string run = "run" + std::to_string(i);
    const Error error = runs.failure(run, disturbance.on_last_rank ? last : 0, disturbance.fault);
    EXPECT_NE(error.summary().find(disturbance.said), std::string::npos) << error.what();
    EXPECT_EQ(error.where(), runs.checkpoint(run, 8));
    EXPECT_FALSE(error.remedy().empty());
    EXPECT_EQ(runs.files(run), std::vector<std::string>{checkpoint::file_name(4)});
    EXPECT_NO_THROW((void)checkpoint::verify(runs.checkpoint(run, 4)));
    // Half of them are enough: what is left is the same.
    if (i % 2 == 0) runs.expect_same_end(run);
  }
}

TEST(Faults, ChecksumsAndSealAreReadBackToo) {
  const Communicator world = Communicator::world();
  if (world.rank() != 0) return;
  const CommonFolder folder(world.alone());
  const Toy toy(7);
  const auto save = [&] {
    checkpoint::save(folder / "a.h5", sample_state(), toy.store, toy.arenas(), world.alone());
  };
  const int never = 1'000'000;
  set_fault({Call::write, Effect::spoil, 0, never});
  save();
  const int writes = calls();  // the last two: checksums, seal
  const std::string before = io::read_file(folder / "a.h5");
  for (int write = 1; write <= writes; ++write) {
    set_fault({Call::write, Effect::spoil, 0, write});
    EXPECT_THROW(save(), Error) << "write " << write << " of " << writes;
    EXPECT_EQ(strikes(), 1);
    EXPECT_TRUE(io::read_file(folder / "a.h5") == before);
  }
  clear_fault();
}

/// A folder in which nobody may make files, root neither.
class ReadOnly {
 public:
  explicit ReadOnly(const std::string& folder) : folder_(folder) {
    ::chmod(folder_.c_str(), 0555);
    if (::geteuid() == 0) ::setfsuid(65534);
  }
  ~ReadOnly() {
    if (::geteuid() == 0) ::setfsuid(0);
    ::chmod(folder_.c_str(), 0755);
  }
  ReadOnly(const ReadOnly&) = delete;
  ReadOnly& operator=(const ReadOnly&) = delete;

 private:
  std::string folder_;
};

TEST(Faults, AFolderThatBecomesReadOnlyIsNamed) {
  const Communicator world = Communicator::world();
  const ShortRuns runs(world);
  std::filesystem::permissions(runs / "", std::filesystem::perms(0755));  // for whoever root becomes
  std::optional<ReadOnly> lock;
  std::string where, remedy;
  try {
    (void)runs.go("run", false,
                  [&](std::int64_t step) {
                    if (step == 6 && world.rank() == 0) lock.emplace(runs / "run/checkpoints");
                  },
                  {"run.overlap_checkpoints=false"});
    ADD_FAILURE() << "the run should have failed";
  } catch (const Error& error) {
    where = error.where();
    remedy = error.remedy();
  }
  world.barrier();
  EXPECT_EQ(where, runs.checkpoint("run", 8));
  EXPECT_NE(remedy.find("permissions"), std::string::npos) << remedy;
  // A run that cannot write its checkpoints does not begin.
  try {
    (void)runs.go("run", true);
    ADD_FAILURE() << "the run should not have begun";
  } catch (const Error& error) {
    EXPECT_NE(error.where().find(runs / "run"), std::string::npos) << error.what();
  }
  lock.reset();
  EXPECT_EQ(runs.files("run"), std::vector<std::string>{checkpoint::file_name(4)});
  runs.expect_same_end("run");
}

}  // namespace
}  // namespace tessera::test
