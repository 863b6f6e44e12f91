#include "base/config.hpp"

#include <algorithm>
#include <type_traits>
#include <utility>

#include "base/error.hpp"
#include "base/toml_text.hpp"

namespace tessera {
namespace {

std::string a_kind(FieldKind kind) {
  return (kind == FieldKind::integer ? "an " : "a ") + std::string(kind_name(kind));
}

/// "a table", "the string "12"", "the number 0.5": what was found where something else was needed.
std::string seen(const ConfigNode& node) {
  if (node.is_table()) return "a table";
  if (node.is_table_list()) return "a list of tables";
  static constexpr const char* names[] = {"boolean", "integer", "number", "string", "list"};
  std::string text = inline_toml(node);
  if (text.size() > 80) text = text.substr(0, 77) + "...";
  return std::string("the ") + names[node.value.index()] + " " + text;
}

template <class T>
std::optional<T> scalar(const ConfigNode& node) {
  if (const T* held = std::get_if<T>(&node.value)) return *held;
  if constexpr (std::is_same_v<T, double>)
    if (const auto* whole = std::get_if<std::int64_t>(&node.value)) return static_cast<double>(*whole);
  return {};
}

template <class T>
std::optional<FieldValue> convert_scalar(const ConfigNode& node) {
  if (auto held = scalar<T>(node)) return FieldValue(*held);
  return {};
}

template <class T>
std::optional<FieldValue> convert_list(const ConfigNode& node) {
  const auto* list = std::get_if<ConfigNode::List>(&node.value);
  if (!list) return {};
  std::vector<T> values;
  for (const ConfigNode& entry : *list) {
    const auto held = scalar<T>(entry);
    if (!held) return {};
    values.push_back(*held);
  }
  return FieldValue(std::move(values));
}

std::optional<FieldValue> convert(const ConfigNode& node, FieldKind kind) {
  switch (kind) {
    case FieldKind::boolean:
      return convert_scalar<bool>(node);
    case FieldKind::integer:
      return convert_scalar<std::int64_t>(node);
    case FieldKind::number:
      return convert_scalar<double>(node);
    case FieldKind::string:
      return convert_scalar<std::string>(node);
    case FieldKind::integer_list:
      return convert_list<std::int64_t>(node);
    case FieldKind::number_list:
      return convert_list<double>(node);
    case FieldKind::string_list:
      return convert_list<std::string>(node);
  }
  return {};
}

void refuse_unknown_keys(const ConfigTree& table, const Schema& schema,
                         const std::vector<std::string>& handled) {
  std::vector<std::string> valid;
  for (const Field& field : schema.fields()) valid.push_back(field.name());
  valid.insert(valid.end(), handled.begin(), handled.end());
  for (const std::string& key : table.keys()) {
    if (std::find(valid.begin(), valid.end(), key) != valid.end()) continue;
    std::string remedy;
    if (const auto near = nearest_word(key, valid)) {
      remedy = "did you mean '" + *near + "'?";
    } else if (valid.empty()) {
      remedy = "remove it: '" + schema.name() + "' takes no keys";
    } else {
      remedy = "remove it, or use one of:";
      for (const std::string& name : valid) remedy += (&name == &valid.front() ? " " : ", ") + name;
    }
    // the key may hold dots of its own, so its place is taken from the node
    const std::string full = table.path().empty() ? key : table.path() + "." + key;
    throw Error("unknown key for '" + schema.name() + "'", place_text(table.root().find(key)->origin, full),
                remedy);
  }
}

std::string allowed_remedy(const Field& field) {
  std::string text = "give " + a_kind(field.kind());
  if (const std::string allowed = field.allowed_text(); !allowed.empty()) text += ", " + allowed;
  if (!field.unit().empty()) text += " (" + field.unit() + ")";
  if (!field.help().empty()) text += ". " + field.name() + ": " + field.help();
  return text;
}

}  // namespace

Config Config::resolve(const ConfigTree& table, const Schema& schema,
                       const std::vector<std::string>& handled) {
  refuse_unknown_keys(table, schema, handled);
  Config config;
  config.schema_ = schema;
  for (const Field& field : schema.fields()) {
    Entry entry;
    entry.where = table.where(field.name());
    if (const ConfigNode* node = table.root().find(field.name())) {
      auto value = convert(*node, field.kind());
      if (!value)
        throw Error("expected " + a_kind(field.kind()) + ", found " + seen(*node), entry.where,
                    allowed_remedy(field));
      if (const std::string wrong = field.complaint(*value); !wrong.empty())
        throw Error(wrong, entry.where, allowed_remedy(field));
      entry.value = std::move(*value);
      entry.given = true;
    } else if (field.fallback()) {
      if (const std::string wrong = field.complaint(*field.fallback()); !wrong.empty())
        throw Error("the default is not allowed by its own schema: " + wrong,
                    "schema '" + schema.name() + "', key '" + field.name() + "'", "correct the schema");
      entry.value = *field.fallback();
    } else {
      throw Error("this key is required and missing", entry.where, allowed_remedy(field));
    }
    config.entries_.emplace(field.name(), std::move(entry));
  }
  return config;
}

Config Config::from_defaults(const Schema& schema) { return resolve(ConfigTree(), schema); }

const Config::Entry& Config::entry(std::string_view name) const {
  const auto found = entries_.find(name);
  if (found == entries_.end())
    throw Error("the program asks for a key that its schema does not declare",
                "schema '" + schema_.name() + "', key '" + std::string(name) + "'",
                "declare it in the schema");
  return found->second;
}

void Config::fail_type(std::string_view name, FieldKind asked) const {
  const Field* field = schema_.find(name);
  throw Error("the program asks for " + a_kind(asked) + " where the schema declares " + a_kind(field->kind()),
              "schema '" + schema_.name() + "', key '" + std::string(name) + "'", "make the two agree");
}

bool Config::is_set(std::string_view name) const { return entry(name).given; }
std::string Config::where(std::string_view name) const { return entry(name).where; }
const FieldValue& Config::value(std::string_view name) const { return entry(name).value; }

std::string Config::to_toml(bool with_help) const {
  ConfigTree tree;
  tree.insert("", *this);
  return tree.to_toml(with_help);
}

}  // namespace tessera
