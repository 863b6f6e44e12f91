#pragma once
// Invariant: every command that reads run configurations reads them in the same way: files in order, then the
// settings of the command line.

#include "base/config_tree.hpp"
#include "launch/arguments.hpp"

namespace tessera::launch {

[[nodiscard]] Operands run_file_operands();
[[nodiscard]] Option set_option();
/// The operands as files, --set on top. @throws Error as ConfigTree.
[[nodiscard]] ConfigTree read_run_files(const Arguments& arguments);

}  // namespace tessera::launch
