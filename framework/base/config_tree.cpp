#include "base/config_tree.hpp"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <iterator>

#include "base/config.hpp"
#include "base/error.hpp"
#include "base/toml_text.hpp"

namespace tessera {
namespace fs = std::filesystem;
namespace {

std::vector<std::string> split(std::string_view path) {
  std::vector<std::string> parts;
  while (!path.empty()) {
    const std::size_t dot = path.find('.');
    parts.emplace_back(path.substr(0, dot));
    if (dot == std::string_view::npos) break;
    path.remove_prefix(dot + 1);
    if (path.empty()) parts.emplace_back();
  }
  return parts;
}

std::optional<std::size_t> index_of(std::string_view part) {
  std::size_t index = 0;
  const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), index);
  if (error != std::errc() || end != part.data() + part.size()) return {};
  return index;
}

void merge_into(ConfigNode& under, const ConfigNode& over) {
  if (!under.is_table() || !over.is_table()) {
    under = over;
    return;
  }
  under.origin = over.origin;
  for (const auto& [key, node] : std::get<ConfigNode::Table>(over.value)) {
    if (ConfigNode* existing = under.find(key))
      merge_into(*existing, node);
    else
      std::get<ConfigNode::Table>(under.value).emplace_back(key, node);
  }
}

bool same(const ConfigNode& a, const ConfigNode& b) {
  if (a.value.index() != b.value.index()) return false;
  if (const auto* table = std::get_if<ConfigNode::Table>(&a.value)) {
    const auto& other = std::get<ConfigNode::Table>(b.value);
    return table->size() == other.size() && std::all_of(table->begin(), table->end(), [&](const auto& entry) {
             const ConfigNode* match = b.find(entry.first);
             return match && same(entry.second, *match);
           });
  }
  if (const auto* list = std::get_if<ConfigNode::List>(&a.value)) {
    const auto& other = std::get<ConfigNode::List>(b.value);
    return std::equal(list->begin(), list->end(), other.begin(), other.end(), same);
  }
  return inline_toml(a) == inline_toml(b);  // so that a nan equals itself
}

/// Reads one file with its includes; `open` holds the files being read, to recognise a circle.
ConfigTree load_file(const fs::path& file, std::vector<fs::path>& open) {
  const fs::path real = fs::weakly_canonical(file);
  if (std::find(open.begin(), open.end(), real) != open.end()) {
    std::string chain;
    for (const fs::path& step : open) chain += step.string() + " -> ";
    throw Error("configuration files include each other in a circle: " + chain + real.string(), file.string(),
                "remove one of the include lines");
  }
  std::error_code error;
  std::ifstream stream(file, std::ios::binary);
  if (!stream || fs::is_directory(file, error))
    throw Error("the configuration file cannot be read",
                open.empty() ? file.string() : file.string() + " (included by " + open.back().string() + ")",
                "check the path; relative ones start at " +
                    (open.empty() ? fs::current_path().string() : open.back().parent_path().string()));
  const std::string text{std::istreambuf_iterator<char>(stream), {}};

  ConfigNode root = parse_toml(text, file.string());
  ConfigTree tree;
  if (const ConfigNode* include = root.find("include")) {
    const std::string place = place_text(include->origin, "include");
    const auto* list = std::get_if<ConfigNode::List>(&include->value);
    if (!list) throw Error("include takes a list of file names", place, "write include = [\"base.toml\"]");
    open.push_back(real);
    for (const ConfigNode& entry : *list) {
      const auto* name = std::get_if<std::string>(&entry.value);
      if (!name)
        throw Error("include takes a list of file names, not " + inline_toml(entry), place,
                    "write include = [\"base.toml\"]");
      tree.merge(load_file(file.parent_path() / *name, open));
    }
    open.pop_back();
    std::erase_if(std::get<ConfigNode::Table>(root.value),
                  [](const auto& e) { return e.first == "include"; });
  }
  tree.merge(ConfigTree(std::move(root)));
  return tree;
}

}  // namespace

bool ConfigNode::is_table_list() const {
  const List* list = std::get_if<List>(&value);
  return list && !list->empty() &&
         std::all_of(list->begin(), list->end(), [](const ConfigNode& entry) { return entry.is_table(); });
}

const ConfigNode* ConfigNode::find(std::string_view key) const {
  if (const auto* table = std::get_if<Table>(&value))
    for (const auto& [name, node] : *table)
      if (name == key) return &node;
  return nullptr;
}

ConfigNode* ConfigNode::find(std::string_view key) {
  return const_cast<ConfigNode*>(std::as_const(*this).find(key));
}

ConfigTree::ConfigTree(ConfigNode root, std::string path) : root_(std::move(root)), path_(std::move(path)) {}

ConfigTree ConfigTree::load(const std::vector<fs::path>& files) {
  ConfigTree tree;
  std::vector<fs::path> open;
  for (const fs::path& file : files) tree.merge(load_file(file, open));
  return tree;
}

ConfigTree ConfigTree::parse(std::string_view text, const std::string& name) {
  ConfigTree tree(parse_toml(text, name));
  if (const ConfigNode* include = tree.root_.find("include"))
    throw Error("include works in files only", place_text(include->origin, "include"),
                "merge the files first, or load this one from its folder");
  return tree;
}

void ConfigTree::merge(const ConfigTree& over) { merge_into(root_, over.root_); }

std::string ConfigTree::full_path(std::string_view path) const {
  if (path_.empty() || path.empty()) return path_ + std::string(path);
  return path_ + "." + std::string(path);
}

const ConfigNode* ConfigTree::lookup(std::string_view path) const {
  const ConfigNode* node = &root_;
  for (const std::string& part : split(path)) {
    if (const auto* list = std::get_if<ConfigNode::List>(&node->value)) {
      const auto index = index_of(part);
      node = index && *index < list->size() ? &(*list)[*index] : nullptr;
    } else {
      node = node->find(part);
    }
    if (!node) return nullptr;
  }
  return node;
}

ConfigNode& ConfigTree::reach(std::string_view path, bool may_append, const ConfigOrigin& origin) {
  ConfigNode* node = &root_;
  const std::vector<std::string> parts = split(path);
  const auto fail = [&](const std::string& what, const std::string& remedy) {
    throw Error(what, place_text(origin, full_path(path)), remedy);
  };
  if (parts.size() > deepest_nesting) fail("the key has too many parts", "check the path of the key");
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const std::string& part = parts[i];
    if (part.empty()) fail("the key has an empty part", "write it as table.key");
    if (auto* list = std::get_if<ConfigNode::List>(&node->value)) {
      const auto index = index_of(part);
      if (!index) fail("'" + part + "' stands where the number of a list entry is needed", "count from 0");
      if (may_append && *index == list->size()) list->emplace_back().origin = origin;
      if (*index >= list->size())
        fail("there is no entry " + part + " in a list of " + std::to_string(list->size()),
             "count from 0; new entries are made in a file");
      node = &(*list)[*index];
    } else if (node->is_table()) {
      ConfigNode* next = node->find(part);
      if (!next) {
        if (index_of(part)) fail("there is no list with an entry " + part, "make the list in a file first");
        if (key_text(part) != part)
          fail("'" + part + "' cannot be a key", "use letters, digits, '_' and '-' between the dots");
        ConfigNode made;
        made.origin = origin;
        if (may_append && i + 1 < parts.size() && parts[i + 1] == "0") made.value = ConfigNode::List{};
        auto& table = std::get<ConfigNode::Table>(node->value);
        next = &table.emplace_back(part, std::move(made)).second;
      }
      node = next;
    } else {
      fail("'" + part + "' is asked for inside a single value, " + inline_toml(*node),
           "check the path of the key");
    }
  }
  return *node;
}

void ConfigTree::set(std::string_view assignment) {
  const ConfigOrigin origin{"--set " + std::string(assignment), 0};
  const auto trimmed = [](std::string_view text) {
    while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
    while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
    return text;
  };
  const std::size_t equals = std::min(assignment.find('='), assignment.size());
  const std::string_view key = trimmed(assignment.substr(0, equals));
  if (key.empty() || equals == assignment.size())
    throw Error("a setting needs the form key=value", origin.file, "for example --set train.batch=64",
                ExitCode::usage);
  const std::string_view text = trimmed(assignment.substr(equals + 1));
  // anything that is not one TOML value is a bare string; quoting it also refuses what no TOML text can hold
  ConfigNode document;
  try {
    document = parse_toml("value = " + std::string(text), origin.file);
  } catch (const Error&) {
  }
  if (std::get<ConfigNode::Table>(document.value).size() != 1 || !document.find("value"))
    document = parse_toml("value = " + string_toml(text), origin.file);
  ConfigNode value = *document.find("value");
  const auto stamp = [&](auto& self, ConfigNode& node) -> void {
    node.origin = origin;
    if (auto* list = std::get_if<ConfigNode::List>(&node.value))
      for (ConfigNode& entry : *list) self(self, entry);
    if (auto* table = std::get_if<ConfigNode::Table>(&node.value))
      for (auto& entry : *table) self(self, entry.second);
  };
  stamp(stamp, value);
  reach(key, false, origin) = std::move(value);
}

void ConfigTree::set(std::string_view path, FieldValue value) { reach(path, true, {}) = make_node(value); }

void ConfigTree::insert(std::string_view path, const Config& config) {
  ConfigNode table;
  for (const Field& field : config.schema().fields()) {
    ConfigNode node = make_node(config.value(field.name()));
    node.comment = field.help();
    std::get<ConfigNode::Table>(table.value).emplace_back(field.name(), std::move(node));
  }
  merge_into(reach(path, true, {}), table);
}

void ConfigTree::insert(std::string_view path, const ConfigTree& table) {
  merge_into(reach(path, true, {}), table.root_);
}

bool ConfigTree::has(std::string_view path) const { return lookup(path) != nullptr; }

std::vector<std::string> ConfigTree::keys() const {
  std::vector<std::string> names;
  for (const auto& entry : std::get<ConfigNode::Table>(root_.value)) names.push_back(entry.first);
  return names;
}

ConfigTree ConfigTree::table(std::string_view path) const {
  const ConfigNode* node = lookup(path);
  if (!node) {
    ConfigNode absent;
    absent.origin = {root_.origin.file, 0};
    return ConfigTree(std::move(absent), full_path(path));
  }
  if (!node->is_table())
    throw Error("a table is needed here, not " + inline_toml(*node), where(path),
                "open it with [" + full_path(path) + "]");
  return ConfigTree(*node, full_path(path));
}

std::vector<ConfigTree> ConfigTree::tables(std::string_view path) const {
  std::vector<ConfigTree> found;
  const ConfigNode* node = lookup(path);
  if (!node) return found;
  const auto* list = std::get_if<ConfigNode::List>(&node->value);
  if (!list || (!list->empty() && !node->is_table_list()))
    throw Error("a list of tables is needed here, not " + inline_toml(*node), where(path),
                "open each entry with [[" + full_path(path) + "]]");
  for (std::size_t i = 0; i < list->size(); ++i)
    found.emplace_back((*list)[i], full_path(path) + "." + std::to_string(i));
  return found;
}

std::string ConfigTree::get_string(std::string_view path, std::optional<std::string> fallback) const {
  const ConfigNode* node = lookup(path);
  if (!node) {
    if (fallback) return *fallback;
    throw Error("this key is required and missing", where(path), "give it, as a string");
  }
  if (const auto* text = std::get_if<std::string>(&node->value)) return *text;
  throw Error("a string is needed here, not " + inline_toml(*node), where(path), "put the value in quotes");
}

std::string ConfigTree::where(std::string_view path) const {
  // an absent key is reported at the nearest table that exists
  const ConfigNode* node = nullptr;
  for (std::string_view part = path; !(node = lookup(part)) && !part.empty();)
    part = part.substr(0, part.rfind('.') == std::string_view::npos ? 0 : part.rfind('.'));
  return place_text(node ? node->origin : root_.origin, full_path(path));
}

std::string ConfigTree::to_toml(bool with_comments) const { return write_toml(root_, with_comments); }

bool operator==(const ConfigTree& a, const ConfigTree& b) { return same(a.root_, b.root_); }

}  // namespace tessera
