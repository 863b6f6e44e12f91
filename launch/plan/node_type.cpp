#include "launch/plan/node_type.hpp"

#include "launch/arguments.hpp"

namespace tessera::launch {

const std::vector<NodeType>& node_types() {
  // Peaks are those of the vendor's data sheets without sparsity; prices what clouds asked in 2025.
  static const std::vector<NodeType> types{
      {"8xH100", 8, 989, 80, 24, 0.3, 3350, 450, 400},
      {"8xH200", 8, 989, 141, 28, 0.3, 4800, 450, 400},
      {"8xA100", 8, 312, 80, 14, 0.4, 2039, 300, 200},
      {"1xH100", 1, 989, 80, 3, 0.3, 3350, 50, 25},
  };
  return types;
}

const NodeType& find_node_type(const std::string& name) {
  std::string names;
  for (const NodeType& type : node_types()) {
    if (type.name == name) return type;
    names += (names.empty() ? "" : ", ") + type.name;
  }
  throw usage_error("no node type is called '" + name + "'", "plan",
                    "there are " + names + "; describe another with --gpus, --peak, --memory and --price.");
}

}  // namespace tessera::launch
