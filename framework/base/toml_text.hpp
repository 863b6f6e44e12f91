#pragma once
// Invariant: text written here is valid TOML 1.0 and reads back to the value it was made from. Private to
// base/.

#include <cstddef>
#include <string>
#include <string_view>

#include "base/config_tree.hpp"

namespace tessera {

/// How deep tables and lists may nest; far more than any configuration needs, far less than the stack holds.
inline constexpr std::size_t deepest_nesting = 32;

/// @param name  the file name for errors and origins. @throws Error with file and line.
[[nodiscard]] ConfigNode parse_toml(std::string_view text, const std::string& name);
/// @param table  a node that is a table.
[[nodiscard]] std::string write_toml(const ConfigNode& table, bool with_comments);
/// A value on one line; tables in braces.
[[nodiscard]] std::string inline_toml(const ConfigNode& node);
/// `text` as comment lines of at most ~100 columns.
[[nodiscard]] std::string comment_toml(std::string_view text);

/// The shortest text that reads back to the same double: "0.1", "5", "1e-06".
[[nodiscard]] std::string number_text(double x);
/// A basic string with quotes and escapes.
[[nodiscard]] std::string string_toml(std::string_view text);
/// A key, in quotes where a bare one is not allowed.
[[nodiscard]] std::string key_text(std::string_view key);

/// "run.toml:12, key 'train.batch'", leaving out what is unknown.
[[nodiscard]] std::string place_text(const ConfigOrigin& origin, std::string_view key);
[[nodiscard]] ConfigNode make_node(const FieldValue& value, ConfigOrigin origin = {});

}  // namespace tessera
