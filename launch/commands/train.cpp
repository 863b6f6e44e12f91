// tessera train

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <iostream>

#include "base/log.hpp"
#include "comm/job.hpp"
#include "generate/sample_hook.hpp"
#include "launch/command.hpp"
#include "launch/run_files.hpp"
#include "train/trainer.hpp"

namespace tessera::launch {
namespace {

/// Whether somebody sees standard output on a terminal. mpirun gives every rank a terminal of its own, so
/// under it the question is where mpirun itself writes.
bool on_terminal() {
  if (::isatty(STDOUT_FILENO) == 0) return false;
  if (std::getenv("OMPI_COMM_WORLD_RANK") == nullptr) return true;
  std::error_code unknown;
  const std::string parent = "/proc/" + std::to_string(::getppid()) + "/fd/1";
  const std::string target = std::filesystem::read_symlink(parent, unknown).string();
  return !unknown && (target.starts_with("/dev/pts/") || target.starts_with("/dev/tty"));
}

/// On a terminal: one line that stays up to date, and warnings. Elsewhere: plain lines.
std::ostream* attach_screen(int rank) {
  logger().set_rank(rank);
  if (rank != 0) {
    logger().add_stream(std::cerr, LogLevel::warning);
    return nullptr;
  }
  if (on_terminal()) {
    logger().add_stream(std::cerr, LogLevel::warning);
    return &std::cout;
  }
  logger().add_stream(std::cout, LogLevel::info);
  return nullptr;
}

ExitCode run(const Arguments& arguments, const comm::Communicator& world) {
  const ConfigTree tree = read_run_files(arguments);
  const train::RunConfig config = train::RunConfig::resolve(tree);
  const std::filesystem::path first = arguments.operands().front();
  const std::filesystem::path out = arguments.text("--out", "runs/" + first.stem().string());
  const Registry registry = Registry::with_installed_plugins();
  train::Hooks hooks;
  hooks.sample = generate::sample_grid;
  hooks.terminal = attach_screen(world.rank());
  hooks.hangs = [rank = world.rank()](const Error* error) {
    if (error != nullptr) std::cerr << message(*error, rank) << std::endl;
    comm::abort_hanging_job(ExitCode::error, error != nullptr);
  };
  const ExitCode code = train::train(config, registry, world, out, arguments.has("--resume"), hooks);
  if (world.rank() == 0 && code == ExitCode::done) {
    std::cout << "\nThe run is complete: " << out.string() << "\n";
  }
  if (world.rank() == 0 && code == ExitCode::resume_later) {
    std::cout << "\nStopped early with a checkpoint. To go on, repeat the command with --resume.\n";
  }
  return code;
}

}  // namespace

Command train_command() {
  CommandTable table;
  table.name = "train";
  table.summary = "train a model through the stages of a configuration";
  table.details =
      "Several files are laid over each other in order. The run folder takes the resolved configuration, "
      "metrics, TensorBoard events, checkpoints, sample grids and a log. The result is the same for every "
      "number of ranks, and after every resume. A signal SIGTERM or SIGUSR1, a file 'stop' in the run folder "
      "(touch RUN/stop) and the end of a Slurm job stop the run with a checkpoint and exit code 75; a file "
      "'checkpoint' there saves and is removed when that is done.";
  table.operands = run_file_operands();
  table.options = {
      set_option(),
      {"--out", Option::Takes::one, "DIR", "Run folder (default runs/NAME of the first file)."},
      {"--resume", Option::Takes::nothing, "",
       "Go on from the newest intact checkpoint of the run folder; from the start when it has none."},
  };
  table.examples = {
      {"mpirun -n 2 tessera train configs/demo/quickstart.toml --out runs/quickstart",
       "Two ranks share every batch."},
      {"tessera train configs/microdit/tiny-2.toml --set run.seed=7 --set stage.0.micro_batch=8",
       "Change single keys; stages count from 0."},
      {"mpirun -n 8 tessera train configs/microdit/xl-2.toml --out runs/xl-2 --resume",
       "Go on where the run stopped, on any number of ranks."},
  };
  return {std::move(table), {}, run};
}

}  // namespace tessera::launch
