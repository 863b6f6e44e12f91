#pragma once
// Invariant: class names get rows in the order of their first appearance, so that a data set's labels follow
// from its source alone.

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

namespace tessera::datasets {

class Labels {
 public:
  /// The row of a name, a new one for a new name; -1 for the empty name, no class.
  std::int32_t row(const std::string& name) {
    if (name.empty()) return -1;
    const auto [entry, added] = rows_.try_emplace(name, static_cast<std::int32_t>(names_.size()));
    if (added) names_.push_back(name);
    return entry->second;
  }
  /// The row of a name that has one; -1 otherwise.
  [[nodiscard]] std::int32_t known_row(const std::string& name) const {
    const auto found = rows_.find(name);
    return found == rows_.end() ? -1 : found->second;
  }
  [[nodiscard]] const std::vector<std::string>& names() const { return names_; }

 private:
  std::unordered_map<std::string, std::int32_t> rows_;
  std::vector<std::string> names_;
};

}  // namespace tessera::datasets
