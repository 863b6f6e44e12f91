#include <array>
#include <charconv>
#include <cmath>
#include <type_traits>

#include "base/toml_text.hpp"

namespace tessera {
namespace {

std::string float_text(double x) {
  if (std::isnan(x)) return "nan";
  if (std::isinf(x)) return x > 0 ? "inf" : "-inf";
  std::string text = number_text(x);
  if (text.find_first_of(".e") == std::string::npos) text += ".0";  // else it would read back as an integer
  return text;
}

/// Scalars and lists of a table first, then its sub-tables: TOML gives a bare key to the last header above
/// it.
void write_table(const ConfigNode& table, const std::string& path, bool with_comments, std::string& out) {
  const auto& entries = std::get<ConfigNode::Table>(table.value);
  for (const auto& [key, node] : entries) {
    if (node.is_table() || node.is_table_list()) continue;
    if (with_comments) out += comment_toml(node.comment);
    out += key_text(key) + " = " + inline_toml(node) + "\n";
  }
  const auto open = [&](const ConfigNode& node, const std::string& full, const char* left,
                        const char* right) {
    if (!out.empty()) out += "\n";
    if (with_comments) out += comment_toml(node.comment);
    out += left + full + right + "\n";
    write_table(node, full, with_comments, out);
  };
  for (const auto& [key, node] : entries) {
    const std::string full = path.empty() ? key_text(key) : path + "." + key_text(key);
    if (node.is_table()) {
      open(node, full, "[", "]");
    } else if (node.is_table_list()) {
      for (const ConfigNode& entry : std::get<ConfigNode::List>(node.value)) open(entry, full, "[[", "]]");
    }
  }
}

}  // namespace

std::string number_text(double x) {
  std::array<char, 32> text{};
  const auto end = std::to_chars(text.data(), text.data() + text.size(), x).ptr;
  return {text.data(), end};
}

std::string string_toml(std::string_view text) {
  std::string out = "\"";
  constexpr char digits[] = "0123456789ABCDEF";
  for (const char letter : text) {
    const auto code = static_cast<unsigned char>(letter);
    switch (letter) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\t':
        out += "\\t";
        break;
      case '\r':
        out += "\\r";
        break;
      default:
        if (code < 0x20 || code == 0x7F) {
          out += "\\u00";
          out += digits[code >> 4];
          out += digits[code & 15];
        } else {
          out += letter;
        }
    }
  }
  out += "\"";
  return out;
}

std::string key_text(std::string_view key) {
  const auto bare = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  };
  for (const char letter : key)
    if (!bare(letter)) return string_toml(key);
  return key.empty() ? "\"\"" : std::string(key);
}

std::string inline_toml(const ConfigNode& node) {
  return std::visit(
      [](const auto& held) -> std::string {
        using T = std::decay_t<decltype(held)>;
        if constexpr (std::is_same_v<T, bool>) {
          return held ? "true" : "false";
        } else if constexpr (std::is_same_v<T, std::int64_t>) {
          return std::to_string(held);
        } else if constexpr (std::is_same_v<T, double>) {
          return float_text(held);
        } else if constexpr (std::is_same_v<T, std::string>) {
          return string_toml(held);
        } else if constexpr (std::is_same_v<T, ConfigNode::List>) {
          std::string out = "[";
          for (const ConfigNode& entry : held) {
            if (out.size() > 1) out += ", ";
            out += inline_toml(entry);
          }
          out += "]";
          return out;
        } else {
          std::string out = "{";
          for (const auto& [key, entry] : held) {
            if (out.size() > 1) out += ", ";
            out += key_text(key);
            out += " = ";
            out += inline_toml(entry);
          }
          out += "}";
          return out;
        }
      },
      node.value);
}

std::string comment_toml(std::string_view text) {
  constexpr std::size_t columns = 100;
  std::string out, line;
  const auto flush = [&] {
    if (line.empty()) return;
    out += "#";
    out += line;
    out += "\n";
    line.clear();
  };
  while (!text.empty()) {
    const std::size_t end = text.find_first_of(" \n");
    const std::string_view word = text.substr(0, end);
    if (line.size() + word.size() + 2 > columns) flush();
    if (!word.empty()) line.append(" ").append(word);
    if (end == std::string_view::npos) break;
    if (text[end] == '\n') flush();
    text.remove_prefix(end + 1);
  }
  flush();
  return out;
}

std::string write_toml(const ConfigNode& table, bool with_comments) {
  std::string out;
  write_table(table, "", with_comments, out);
  return out;
}

std::string place_text(const ConfigOrigin& origin, std::string_view key) {
  std::string text = origin.file;
  if (origin.line > 0) text.append(":").append(std::to_string(origin.line));
  if (key.empty()) return text;
  if (!text.empty()) text += ", ";
  return text.append("key '").append(key).append("'");
}

ConfigNode make_node(const FieldValue& value, ConfigOrigin origin) {
  ConfigNode node;
  node.origin = origin;
  std::visit(
      [&](const auto& held) {
        using T = std::decay_t<decltype(held)>;
        if constexpr (std::is_arithmetic_v<T> || std::is_same_v<T, std::string>) {
          node.value = held;
        } else {
          ConfigNode::List list;
          for (const auto& entry : held) list.push_back(make_node(FieldValue(entry), origin));
          node.value = std::move(list);
        }
      },
      value);
  return node;
}

std::string to_toml_text(const FieldValue& value) { return inline_toml(make_node(value)); }

}  // namespace tessera
