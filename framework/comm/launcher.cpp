#include "comm/launcher.hpp"

#include <array>
#include <cstdlib>

namespace tessera::comm {
namespace {

struct Launcher {
  const char* name;
  const char* ranks;  ///< variable that says how many processes it started
  const char* remedy;
};

// The innermost first: mpirun may run within a step of srun.
constexpr std::array<Launcher, 3> launchers{{
    {"mpirun of Open MPI", "OMPI_COMM_WORLD_SIZE",
     "start it with the mpirun of the MPI that Tessera was built with."},
    {"mpiexec or srun --mpi=pmi2", "PMI_SIZE",
     "start it with the mpirun of the MPI that Tessera was built with, or with srun --mpi=pmix where "
     "'srun --mpi=list' names pmix."},
    {"srun", "SLURM_STEP_NUM_TASKS",
     "start it with srun --mpi=pmix where 'srun --mpi=list' names pmix, else with mpirun within the "
     "allocation; "
     "slurm/train.sbatch chooses by itself. Runs of one rank each that are meant to be apart need 'env -u "
     "SLURM_STEP_NUM_TASKS'."},
}};

long number(const char* text) { return text == nullptr ? 0 : std::atol(text); }

/// The innermost launcher that speaks of processes; null: none.
const Launcher* launcher_of(const Variables& variable) {
  for (const Launcher& launcher : launchers) {
    if (number(variable(launcher.ranks)) > 0) return &launcher;
  }
  return nullptr;
}

}  // namespace

std::optional<SeparateRanks> separate_ranks(const Variables& variable) {
  const Launcher* const launcher = launcher_of(variable);
  if (launcher == nullptr) return {};
  const long ranks = number(variable(launcher->ranks));
  if (ranks <= 1) return {};
  const std::string count = std::to_string(ranks);
  return SeparateRanks("this process is one of " + count + " that " + launcher->name + " started (" +
                           launcher->ranks + "), but MPI connects none of them: they would be " + count +
                           " runs of one rank each in the same folder",
                       {}, launcher->remedy);
}

bool srun_without_pmi(const Variables& variable) {
  for (const char* offered : {"PMIX_RANK", "PMIX_NAMESPACE", "PMI_RANK", "PMI_FD", "OMPI_COMM_WORLD_SIZE"}) {
    if (variable(offered) != nullptr) return false;
  }
  return number(variable("SLURM_STEP_NUM_TASKS")) > 1;
}

}  // namespace tessera::comm
