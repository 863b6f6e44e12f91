#pragma once
// Invariant: a Config holds one value of the right type and range for every field of its Schema. It can only
// be made by checking a table against that Schema, so code that reads a Config need not check again.

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/config_tree.hpp"
#include "base/schema.hpp"

namespace tessera {

class Config {
 public:
  /// Checks `table` against `schema` and fills in the defaults. An integer is accepted for a number.
  /// @param handled  keys and sub-tables that the caller reads itself ("plugin", "feed_forward").
  /// @throws Error naming file, line and full key for: an unknown key (with the nearest valid one), a wrong
  /// type
  ///         (with the expected type and the value), a value out of range (with the range), a missing
  ///         required key.
  static Config resolve(const ConfigTree& table, const Schema& schema,
                        const std::vector<std::string>& handled = {});
  /// @throws Error when a field is required.
  static Config from_defaults(const Schema& schema);

  /// T is the type of the field: bool, std::int64_t, double, std::string, or a std::vector of the last three.
  /// @throws Error when the schema has no such field or it is of another type: a mistake in the calling code.
  template <class T>
  [[nodiscard]] const T& get(std::string_view name) const;

  /// True when the key was given, false when the value is the default.
  [[nodiscard]] bool is_set(std::string_view name) const;
  /// "run.toml:12, key 'train.batch'", for errors about values that are wrong only together.
  [[nodiscard]] std::string where(std::string_view name) const;
  [[nodiscard]] const Schema& schema() const { return schema_; }
  [[nodiscard]] const FieldValue& value(std::string_view name) const;

  /// One line per field, defaults included, in schema order; with_help puts each field's help above it.
  [[nodiscard]] std::string to_toml(bool with_help = false) const;

 private:
  struct Entry {
    FieldValue value;
    bool given = false;
    std::string where;
  };
  [[nodiscard]] const Entry& entry(std::string_view name) const;
  [[noreturn]] void fail_type(std::string_view name, FieldKind asked) const;

  Schema schema_;
  std::map<std::string, Entry, std::less<>> entries_;
};

template <class T>
const T& Config::get(std::string_view name) const {
  const FieldValue& held = value(name);
  if (const T* typed = std::get_if<T>(&held)) return *typed;
  fail_type(name, static_cast<FieldKind>(FieldValue(T{}).index()));
}

}  // namespace tessera
