#pragma once
// Invariant: what a command prints on standard output is its result; errors go to standard error through
// report(), once. Commands that need ranks run on all of them inside comm::guard, the others never
// initialise MPI.

#include <functional>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "comm/communicator.hpp"
#include "launch/arguments.hpp"

namespace tessera::launch {

struct Command {
  CommandTable table;
  /// One of the two is set. A command of the second kind runs on all ranks of a job.
  std::function<ExitCode(const Arguments&)> run;
  std::function<ExitCode(const Arguments&, const comm::Communicator& world)> run_on_ranks;
};

/// Every command, in the order in which help lists them.
[[nodiscard]] const std::vector<Command>& commands();

/// The command that the first words name ("data", "build", "emoji"), and how many words that took.
struct FoundCommand {
  const Command* command = nullptr;
  std::size_t words = 0;
};
/// @throws Error (usage) naming the nearest command.
[[nodiscard]] FoundCommand find_command(const std::vector<std::string>& words);

/// The text of `tessera --help`, or of the commands whose names begin with `prefix`.
[[nodiscard]] std::string overview(const std::string& prefix = {});

/// An error as one paragraph: what happened where, and what to do about it.
[[nodiscard]] std::string paragraph(const Error& error);
/// The same with who speaks; an error of usage says that itself.
[[nodiscard]] std::string message(const Error& error, int rank);

// One per file in commands/.
[[nodiscard]] Command train_command();
[[nodiscard]] Command sample_command();
[[nodiscard]] Command plan_command();
[[nodiscard]] Command build_emoji_command();
[[nodiscard]] Command build_folder_command();
[[nodiscard]] Command build_features_command();
[[nodiscard]] Command show_data_command();
[[nodiscard]] Command stats_command();
[[nodiscard]] Command caption_command();
[[nodiscard]] Command show_checkpoint_command();
[[nodiscard]] Command verify_checkpoint_command();
[[nodiscard]] Command export_adapter_command();
[[nodiscard]] Command merge_command();
[[nodiscard]] Command plugins_command();

}  // namespace tessera::launch
