#pragma once
// Invariant: a ConfigTree holds exactly the keys that TOML files, command-line settings or code put there,
// unchecked, and knows for each value where it came from. Writing it as TOML and parsing the text gives an
// equal tree. Meaning (types, ranges, defaults) belongs to Config.

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/schema.hpp"

namespace tessera {

class Config;

/// Where a value was written: file "run.toml", line 12; or "--set train.batch=64", line 0; or nothing.
struct ConfigOrigin {
  std::string file;
  int line = 0;
};

/// One value of the tree. Tables keep the order in which their keys were written.
struct ConfigNode {
  using List = std::vector<ConfigNode>;
  using Table = std::vector<std::pair<std::string, ConfigNode>>;

  std::variant<bool, std::int64_t, double, std::string, List, Table> value = Table{};
  ConfigOrigin origin;
  std::string comment;  ///< written above the key by ConfigTree::to_toml(true)

  [[nodiscard]] bool is_table() const { return std::holds_alternative<Table>(value); }
  [[nodiscard]] bool is_table_list() const;  ///< a non-empty list of nothing but tables ([[name]])
  [[nodiscard]] const ConfigNode* find(std::string_view key) const;  ///< in a table; nullptr when absent
  [[nodiscard]] ConfigNode* find(std::string_view key);
};

/// Paths are dotted ("model.backbone.depth"); a number indexes a list of tables ("stage.0.steps").
class ConfigTree {
 public:
  ConfigTree() = default;
  explicit ConfigTree(ConfigNode root, std::string path = {});

  /// Reads the files in order, each overriding the ones before it table by table; lists, lists of tables
  /// ([[stage]]) among them, are replaced as a whole. A file may open with include = ["base.toml", ...]:
  /// paths relative to that file, read before its own keys.
  /// @throws Error on a file that cannot be read or parsed (with line), and on a circle of includes.
  static ConfigTree load(const std::vector<std::filesystem::path>& files);
  /// @param name  stands for the file name in errors. `include` is an Error here: text has no folder.
  static ConfigTree parse(std::string_view text, const std::string& name);

  /// Lays `over` on top of this tree.
  void merge(const ConfigTree& over);
  /// A command-line setting "train.batch=64": the value is read as TOML, or else taken as a bare string.
  /// Missing tables on the way are made; a list index must exist.
  void set(std::string_view assignment);
  /// Puts one typed value.
  void set(std::string_view path, FieldValue value);
  /// Puts all values of a resolved table, defaults included, beside what the table at `path` ("" = root)
  /// already holds; "stage.2" appends to a list of two tables.
  void insert(std::string_view path, const Config& config);
  void insert(std::string_view path, const ConfigTree& table);

  [[nodiscard]] bool has(std::string_view path) const;
  /// The keys of this table, in the order written.
  [[nodiscard]] std::vector<std::string> keys() const;
  /// A copy of a sub-table that remembers its full path; empty when it is absent.
  /// @throws Error when the path names something else than a table.
  [[nodiscard]] ConfigTree table(std::string_view path) const;
  /// The same for a list of tables; empty when it is absent.
  [[nodiscard]] std::vector<ConfigTree> tables(std::string_view path) const;
  /// A single string, for the keys that choose which schema applies (plugin = "dit").
  /// @throws Error when it is not a string, or absent and without fallback.
  [[nodiscard]] std::string get_string(std::string_view path, std::optional<std::string> fallback = {}) const;

  /// The full dotted path of this table in the tree it was taken from; empty for a root.
  [[nodiscard]] const std::string& path() const { return path_; }
  /// "run.toml:12, key 'train.batch'": for error messages. The key need not exist.
  [[nodiscard]] std::string where(std::string_view path) const;
  [[nodiscard]] const ConfigNode& root() const { return root_; }

  /// TOML text of the tree; with_comments adds the help of inserted Configs above their keys.
  [[nodiscard]] std::string to_toml(bool with_comments = false) const;

  /// Same keys and values (types included); order, origins and comments do not count.
  friend bool operator==(const ConfigTree& a, const ConfigTree& b);

 private:
  ConfigNode& reach(std::string_view path, bool may_append, const ConfigOrigin& origin);
  [[nodiscard]] const ConfigNode* lookup(std::string_view path) const;
  [[nodiscard]] std::string full_path(std::string_view path) const;

  ConfigNode root_;
  std::string path_;
};

}  // namespace tessera
