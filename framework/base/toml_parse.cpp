// The only file that sees toml++: it turns a parsed document into ConfigNodes in the order of the source.
#include <toml++/toml.h>

#include <algorithm>
#include <utility>

#include "base/error.hpp"
#include "base/toml_text.hpp"

namespace tessera {
namespace {

ConfigNode convert(const toml::node& from, const std::string& name, const std::string& key);

ConfigNode::Table convert_table(const toml::table& from, const std::string& name, const std::string& prefix) {
  using Entry = std::pair<toml::source_position, std::pair<std::string, ConfigNode>>;
  std::vector<Entry> entries;
  for (const auto& [key, value] : from) {
    const std::string text(key.str());
    const std::string full = prefix.empty() ? text : prefix + "." + text;
    entries.emplace_back(key.source().begin, std::pair(text, convert(value, name, full)));
    // a table made by a header begins where its brackets do; the key is the better place to point at
    entries.back().second.second.origin.line = static_cast<int>(key.source().begin.line);
  }
  std::stable_sort(entries.begin(), entries.end(),
                   [](const Entry& a, const Entry& b) { return a.first < b.first; });
  ConfigNode::Table table;
  table.reserve(entries.size());
  for (Entry& entry : entries) table.push_back(std::move(entry.second));
  return table;
}

ConfigNode convert(const toml::node& from, const std::string& name, const std::string& key) {
  ConfigNode node;
  node.origin = {name, static_cast<int>(from.source().begin.line)};
  switch (from.type()) {
    case toml::node_type::boolean:
      node.value = from.as_boolean()->get();
      break;
    case toml::node_type::integer:
      node.value = std::int64_t{from.as_integer()->get()};
      break;
    case toml::node_type::floating_point:
      node.value = from.as_floating_point()->get();
      break;
    case toml::node_type::string:
      node.value = from.as_string()->get();
      break;
    case toml::node_type::table:
      node.value = convert_table(*from.as_table(), name, key);
      break;
    case toml::node_type::array: {
      ConfigNode::List list;
      for (const toml::node& entry : *from.as_array())
        list.push_back(convert(entry, name, key + "." + std::to_string(list.size())));
      node.value = std::move(list);
      break;
    }
    default:
      throw Error("dates and times have no meaning in a configuration", place_text(node.origin, key),
                  "put the value in quotes if a text is meant");
  }
  return node;
}

}  // namespace

ConfigNode parse_toml(std::string_view text, const std::string& name) {
  try {
    const toml::table document = toml::parse(text, name);
    ConfigNode root;
    root.origin = {name, 0};
    root.value = convert_table(document, name, "");
    return root;
  } catch (const toml::parse_error& error) {
    const auto& at = error.source().begin;
    throw Error("this is not valid TOML: " + std::string(error.description()),
                name + ":" + std::to_string(at.line) + ", column " + std::to_string(at.column),
                "correct the syntax there (https://toml.io describes it)");
  }
}

}  // namespace tessera
