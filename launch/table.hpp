#pragma once
// Invariant: columns line up: texts to the left, numbers to the right.

#include <cstdint>
#include <string>
#include <vector>

namespace tessera::launch {

/// Rows of cells, printed with two spaces between columns.
class TextTable {
 public:
  /// @param right  which columns are set to the right; missing ones are not.
  explicit TextTable(std::vector<bool> right = {}) : right_(std::move(right)) {}
  void add(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  /// @param indent  spaces before every line.
  [[nodiscard]] std::string text(std::size_t indent = 2) const;

 private:
  std::vector<bool> right_;
  std::vector<std::vector<std::string>> rows_;
};

/// 1165442320 -> "1,165,442,320".
[[nodiscard]] std::string grouped(std::int64_t number);
/// Three significant digits: 1.47e+20, 12.3, 0.0123.
[[nodiscard]] std::string short_number(double number);

}  // namespace tessera::launch
