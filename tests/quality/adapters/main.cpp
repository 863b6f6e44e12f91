// adapter_check: whether trained adapters do what they are for, measured on the pictures that they draw.

#include <cstdio>
#include <string>
#include <vector>

#include "checks.hpp"
#include "comm/environment.hpp"
#include "comm/job.hpp"
#include "compute/runtime.hpp"
#include "tensor/allocator.hpp"

namespace {

using namespace tessera;
using namespace tessera::launch;

int run(std::vector<std::string> words) {
  const std::vector<Command> commands{quality::control_check(), quality::subject_check(),
                                      quality::self_test_check()};
  const std::string name = words.empty() ? "--help" : words.front();
  for (const Command& command : commands) {
    if (command.table.name != name) continue;
    words.erase(words.begin());
    const Arguments arguments = parse_arguments(command.table, words);
    if (arguments.wants_help()) {
      std::printf("%s", help_text(command.table).c_str());
      return 0;
    }
    if (command.run) return static_cast<int>(command.run(arguments));
    const comm::Environment environment;
    return comm::guard(
        [&](const comm::Communicator& world) {
          const Runtime runtime;
          const ExitCode code = command.run_on_ranks(arguments, world);
          // All ranks have to return the same code, and only rank 0 knows it.
          return world.agree(code == ExitCode::done) ? ExitCode::done : ExitCode::error;
        },
        [](const Error& error, int) { std::fprintf(stderr, "adapter_check: %s\n", error.what()); });
  }
  for (const Command& command : commands) {
    std::printf("adapter_check %-10s %s\n", command.table.name.c_str(), command.table.summary.c_str());
  }
  return name == "--help" ? 0 : static_cast<int>(ExitCode::usage);
}

}  // namespace

int main(int argc, char** argv) {
  keep_freed_memory();
  try {
    return run(std::vector<std::string>(argv + 1, argv + argc));
  } catch (const Error& error) {
    std::fprintf(stderr, "adapter_check: %s\n", error.what());
    return static_cast<int>(error.code());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "adapter_check: %s\n", error.what());
    return 1;
  }
}
