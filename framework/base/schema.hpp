#pragma once
// Invariant: a Schema is plain data that lists every key a component understands, each with its type,
// default, allowed values, unit and help. Whatever reads a configuration (base/config.hpp) or prints
// one for people (`tessera plugins NAME`) works from this list and from nothing else.

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace tessera {

/// The types a configuration key may have; the order is that of FieldValue's alternatives.
enum class FieldKind { boolean, integer, number, string, integer_list, number_list, string_list };

/// One value of a key. Brace or assign from bool, int, double, text or a vector of them.
using FieldValue = std::variant<bool, std::int64_t, double, std::string, std::vector<std::int64_t>,
                                std::vector<double>, std::vector<std::string>>;

/// "integer", "list of numbers", ...
[[nodiscard]] std::string_view kind_name(FieldKind kind);

/// The value as TOML text; doubles are the shortest text that reads back to the same bits.
[[nodiscard]] std::string to_toml_text(const FieldValue& value);

/// One key of a Schema. The calls that describe it return the field, so that they chain.
class Field {
 public:
  Field(std::string name, FieldKind kind, std::optional<FieldValue> fallback);

  /// Inclusive bounds of a number, an integer, or each entry of a list of them.
  Field& range(double lowest, double highest);
  Field& at_least(double lowest);
  /// The number of entries that a list may have, inclusive.
  Field& length(std::size_t shortest, std::size_t longest);
  /// The strings allowed (for a list: in each entry).
  Field& choices(std::vector<std::string> allowed);
  Field& unit(std::string text);
  Field& help(std::string text);

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] FieldKind kind() const { return kind_; }
  /// The default; a field without one is required.
  [[nodiscard]] const std::optional<FieldValue>& fallback() const { return fallback_; }
  [[nodiscard]] bool required() const { return !fallback_; }
  [[nodiscard]] const std::vector<std::string>& allowed() const { return choices_; }
  [[nodiscard]] const std::string& unit() const { return unit_; }
  [[nodiscard]] const std::string& help() const { return help_; }

  /// What is allowed beyond the type, for people: "1 to 1024", "at least 0", "one of 'a', 'b'", "2 entries",
  /// or nothing.
  [[nodiscard]] std::string allowed_text() const;
  /// Empty when `value` (already of the right type) is allowed, else what is wrong: "0 is outside 1 to 1024".
  [[nodiscard]] std::string complaint(const FieldValue& value) const;

 private:
  std::string name_;
  FieldKind kind_;
  std::optional<FieldValue> fallback_;
  std::optional<double> lowest_, highest_;
  std::optional<std::size_t> shortest_, longest_;
  std::vector<std::string> choices_;
  std::string unit_, help_;
};

/// The keys of one table of a configuration:
///   Schema s("dit", "Diffusion transformer backbone");
///   s.integer("depth", 16).range(1, 1024).unit("blocks").help("Number of transformer blocks.");
/// A reference that integer() etc. return stays valid as long as the Schema. Declaring a name twice is an
/// Error.
class Schema {
 public:
  Schema() = default;
  Schema(std::string name, std::string description);

  Field& boolean(std::string name, std::optional<bool> fallback = {});
  Field& integer(std::string name, std::optional<std::int64_t> fallback = {});
  Field& number(std::string name, std::optional<double> fallback = {});
  Field& string(std::string name, std::optional<std::string> fallback = {});
  Field& integers(std::string name);
  Field& integers(std::string name, std::vector<std::int64_t> fallback);
  Field& numbers(std::string name);
  Field& numbers(std::string name, std::vector<double> fallback);
  Field& strings(std::string name);
  Field& strings(std::string name, std::vector<std::string> fallback);

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] const std::string& description() const { return description_; }
  /// In the order of declaration.
  [[nodiscard]] const std::deque<Field>& fields() const { return fields_; }
  /// nullptr when there is no such key.
  [[nodiscard]] const Field* find(std::string_view name) const;

 private:
  Field& add(std::string name, FieldKind kind, std::optional<FieldValue> fallback);

  std::string name_, description_;
  std::deque<Field> fields_;
};

/// The entry of `candidates` that `word` most likely meant (edit distance, a swap of neighbours counting
/// once); nothing when none is near.
[[nodiscard]] std::optional<std::string> nearest_word(std::string_view word,
                                                      const std::vector<std::string>& candidates);

}  // namespace tessera
