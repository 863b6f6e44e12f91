#include "comm/environment.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <exception>
#include <optional>

#include "comm/launcher.hpp"
#include "comm/mpi_support.hpp"

namespace tessera::comm {
namespace {

const char* variable(const char* name) { return std::getenv(name); }

void refuse_separate_ranks() {
  if (const std::optional<SeparateRanks> error = separate_ranks(variable)) throw *error;
}

}  // namespace

Environment::Environment() : exceptions_at_start_(std::uncaught_exceptions()) {
  int initialised = 0;
  MPI_Initialized(&initialised);
  if (initialised != 0) throw Error("MPI is already initialised; a process has one Environment, once");
  if (srun_without_pmi(variable)) refuse_separate_ranks();
  // A process started without mpirun would otherwise start a daemon of its own and wait for it.
  setenv("OMPI_MCA_ess_singleton_isolated", "1", 0);
  int provided = MPI_THREAD_SINGLE;
  check(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided), "MPI_Init_thread");
  if (provided < MPI_THREAD_FUNNELED) {
    throw Error("this MPI library does not support threads beside the one that calls it", "MPI_Init_thread",
                "Use an MPI built with at least MPI_THREAD_FUNNELED; Debian's Open MPI is.");
  }
  int ranks = 0;
  check(MPI_Comm_size(MPI_COMM_WORLD, &ranks), "MPI_Comm_size");
  if (ranks == 1 && separate_ranks(variable)) {
    MPI_Finalize();
    refuse_separate_ranks();
  }
  check(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
}

Environment::~Environment() {
  if (std::uncaught_exceptions() > exceptions_at_start_) return;
  MPI_Finalize();
}

std::string library_version() {
  std::array<char, MPI_MAX_LIBRARY_VERSION_STRING> text{};
  int length = 0;
  check(MPI_Get_library_version(text.data(), &length), "MPI_Get_library_version");
  std::string version(text.data());
  std::ranges::replace(version, '\n', ' ');
  return version;
}

}  // namespace tessera::comm
