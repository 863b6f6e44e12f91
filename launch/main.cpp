// The `tessera` program. Invariant: every path out of main has one of the exit codes of DESIGN 11 (0 done,
// 1 error, 2 usage, 75 resume later), and every failure was told in one paragraph on standard error.

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <iostream>
#include <new>
#include <optional>

#include "comm/environment.hpp"
#include "comm/job.hpp"
#include "comm/launcher.hpp"
#include "compute/runtime.hpp"
#include "launch/command.hpp"
#include "tensor/allocator.hpp"

namespace {

using namespace tessera;
using namespace tessera::launch;

/// Before MPI is up only the launcher's environment tells whether another rank says the same.
bool speaks_for_the_job() {
  for (const char* variable : {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "SLURM_PROCID"}) {
    if (const char* rank = std::getenv(variable)) return std::string(rank) == "0";
  }
  return true;
}

int print_help(const std::string& text) {
  if (speaks_for_the_job()) std::cout << text << std::flush;
  return static_cast<int>(ExitCode::done);
}

int fail(const Error& error) {
  if (error.code() != ExitCode::usage || speaks_for_the_job()) {
    std::cerr << message(error, 0) << std::endl;
  }
  return static_cast<int>(error.code());
}

int run_on_ranks(const Command& command, const std::vector<std::string>& words) {
  std::optional<comm::Environment> mpi;
  try {
    mpi.emplace();
  } catch (const comm::SeparateRanks& error) {
    if (speaks_for_the_job()) std::cerr << message(error, 0) << std::endl;
    return static_cast<int>(error.code());
  }
  return comm::guard(
      [&](const comm::Communicator& world) {
        const Arguments arguments = parse_arguments(command.table, words);
        const Runtime runtime;
        return command.run_on_ranks(arguments, world);
      },
      [](const Error& error, int rank) { std::cerr << message(error, rank) << std::endl; });
}

int run(std::vector<std::string> words) {
  const bool help = std::find_if(words.begin(), words.end(), [](const std::string& word) {
                      return word == "--help" || word == "-h";
                    }) != words.end();
  if (words.empty() || words[0] == "--help" || words[0] == "-h" || words[0] == "help") {
    return print_help(overview());
  }
  if (words[0] == "--version") {
    return print_help("tessera " TESSERA_VERSION "\n");
  }
  FoundCommand found;
  try {
    found = find_command(words);
  } catch (const Error&) {
    const bool group = std::any_of(commands().begin(), commands().end(), [&](const Command& command) {
      return command.table.name.starts_with(words[0] + " ");
    });
    if (help && group) return print_help(overview(words[0]));
    throw;
  }
  const Command& command = *found.command;
  words.erase(words.begin(), words.begin() + static_cast<std::ptrdiff_t>(found.words));
  if (help) return print_help(help_text(command.table));
  // Wrong arguments are then told once for the job, whose ranks end as one.
  if (command.run_on_ranks) return run_on_ranks(command, words);
  const Arguments arguments = parse_arguments(command.table, words);
  return static_cast<int>(command.run(arguments));
}

}  // namespace

int main(int argc, char** argv) {
  keep_freed_memory();
  std::signal(SIGXFSZ, SIG_IGN);  // a file at its size limit is then an error that can be told
  try {
    return run(std::vector<std::string>(argv + 1, argv + argc));
  } catch (const Error& error) {
    return fail(error);
  } catch (const std::bad_alloc&) {
    return fail(Error("memory ran out", {}, "use a smaller batch or picture"));
  } catch (const std::exception& error) {
    return fail(Error(error.what()));
  }
}
