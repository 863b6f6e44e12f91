#include "launch/run_files.hpp"

namespace tessera::launch {

Operands run_file_operands() {
  return {"CONFIG", "Run configuration (TOML); later files override earlier ones.", 1, 64};
}

Option set_option() {
  return {"--set", Option::Takes::each, "KEY=VALUE", "Override one key, for example run.seed=7. Repeatable."};
}

ConfigTree read_run_files(const Arguments& arguments) {
  ConfigTree tree = ConfigTree::load({arguments.operands().begin(), arguments.operands().end()});
  for (const std::string& assignment : arguments.texts("--set")) tree.set(assignment);
  return tree;
}

}  // namespace tessera::launch
