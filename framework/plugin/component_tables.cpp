#include "plugin/component_tables.hpp"

namespace tessera {
namespace {

/// Whether both choose a component, and not the same.
bool names_another(const ConfigNode& under, const ConfigNode& over) {
  const ConfigNode* before = under.find("name");
  const ConfigNode* chosen = over.find("name");
  if (before == nullptr || chosen == nullptr) return false;
  const auto* one = std::get_if<std::string>(&before->value);
  const auto* other = std::get_if<std::string>(&chosen->value);
  return one != nullptr && other != nullptr && *one != *other;
}

void lay_over(ConfigNode& under, const ConfigNode& over) {
  if (!under.is_table() || !over.is_table() || names_another(under, over)) {
    under = over;
    return;
  }
  for (const auto& [key, node] : std::get<ConfigNode::Table>(over.value)) {
    if (ConfigNode* existing = under.find(key)) {
      lay_over(*existing, node);
    } else {
      std::get<ConfigNode::Table>(under.value).emplace_back(key, node);
    }
  }
}

}  // namespace

ConfigTree with_overrides(const ConfigTree& under, const ConfigTree& over) {
  ConfigNode root = under.root();
  lay_over(root, over.root());
  return ConfigTree(std::move(root), under.path());
}

}  // namespace tessera
