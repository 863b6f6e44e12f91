// Which environments tell of a job that fell apart into runs of one rank.
#include "comm/launcher.hpp"

#include <gtest/gtest.h>

#include <map>

namespace tessera::comm {
namespace {

struct Seen {
  std::map<std::string, std::string> values;
  const char* operator()(const char* name) const {
    const auto found = values.find(name);
    return found == values.end() ? nullptr : found->second.c_str();
  }
};

std::string complaint(const Seen& seen) {
  const std::optional<SeparateRanks> error = separate_ranks(seen);
  return error ? error->summary() + " " + error->remedy() : "";
}

// A batch script tells the tasks of the job, but is one process; so does the shell of an allocation.
const Seen batch{{{"SLURM_JOB_ID", "7"}, {"SLURM_NTASKS", "8"}, {"SLURM_PROCID", "0"}}};

Seen with(Seen seen, const std::map<std::string, std::string>& more) {
  for (const auto& [name, value] : more) seen.values[name] = value;
  return seen;
}

TEST(Launcher, OneProcessIsNoMistake) {
  EXPECT_EQ(complaint({}), "");
  EXPECT_EQ(complaint(batch), "");
  EXPECT_EQ(complaint(with(batch, {{"SLURM_STEP_NUM_TASKS", "1"}})), "");
  EXPECT_EQ(complaint(with(batch, {{"OMPI_COMM_WORLD_SIZE", "1"}})), "");
  EXPECT_FALSE(srun_without_pmi(batch));
}

TEST(Launcher, NamesWhatStartedSeveral) {
  const std::string srun = complaint(with(batch, {{"SLURM_STEP_NUM_TASKS", "8"}}));
  EXPECT_NE(srun.find("one of 8 that srun started"), std::string::npos) << srun;
  EXPECT_NE(srun.find("--mpi=pmix"), std::string::npos) << srun;
  EXPECT_NE(complaint({{{"OMPI_COMM_WORLD_SIZE", "2"}}}).find("mpirun of Open MPI"), std::string::npos);
  EXPECT_NE(complaint({{{"PMI_SIZE", "2"}}}).find("mpiexec"), std::string::npos);
}

// Each task of a step may run an mpirun of its own.
TEST(Launcher, TheInnermostCounts) {
  EXPECT_EQ(complaint(with(batch, {{"SLURM_STEP_NUM_TASKS", "8"}, {"OMPI_COMM_WORLD_SIZE", "1"}})), "");
}

TEST(Launcher, SeesThatSrunOffersNothingBeforeMpiIsAsked) {
  const Seen none = with(batch, {{"SLURM_STEP_NUM_TASKS", "8"}});
  EXPECT_TRUE(srun_without_pmi(none));
  EXPECT_FALSE(srun_without_pmi(with(none, {{"PMIX_RANK", "0"}})));
  EXPECT_FALSE(srun_without_pmi(with(none, {{"PMI_RANK", "0"}})));
  EXPECT_FALSE(srun_without_pmi(with(none, {{"OMPI_COMM_WORLD_SIZE", "8"}})));
  EXPECT_FALSE(srun_without_pmi(with(batch, {{"SLURM_STEP_NUM_TASKS", "1"}})));
}

}  // namespace
}  // namespace tessera::comm
