#include <stdexcept>
#include <string>

#include "base/config.hpp"
#include "base/error.hpp"
#include "targets.hpp"

namespace tessera::fuzz {
namespace {

/// A key of every kind, with every restriction.
Schema everything() {
  Schema schema("fuzz", "Every kind of key.");
  schema.boolean("flag", false);
  schema.integer("count", 3).range(1, 1024);
  schema.number("rate", 0.1).at_least(0);
  schema.string("name", "dit").choices({"dit", "other"});
  schema.integers("sides", {16, 32}).length(1, 4).range(1, 4096);
  schema.numbers("betas", {0.9, 0.99}).length(2, 2);
  schema.strings("prompts", {"a", "b"});
  return schema;
}

}  // namespace

bool run_config(Bytes bytes) {
  static const Schema schema = everything();
  const std::string text(bytes.begin(), bytes.end());
  bool accepted = false;
  try {
    const ConfigTree tree = ConfigTree::parse(text, "fuzz.toml");
    const ConfigTree again = ConfigTree::parse(tree.to_toml(true), "again.toml");
    if (!(tree == again)) throw std::logic_error("a tree written as TOML reads back as another");
    static_cast<void>(Config::resolve(tree.table("model"), schema, {"plugin"}));
    for (const ConfigTree& stage : tree.tables("stage"))
      static_cast<void>(Config::resolve(stage, schema).to_toml(true));
    accepted = true;
  } catch (const Error&) {
  }
  try {
    ConfigTree tree;
    tree.set(text);
  } catch (const Error&) {
  }
  return accepted;
}

}  // namespace tessera::fuzz
