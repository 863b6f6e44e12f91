// tessera plugins

#include <algorithm>
#include <iostream>

#include "launch/command.hpp"
#include "launch/table.hpp"
#include "plugin/registry.hpp"

namespace tessera::launch {
namespace {

std::vector<std::string> slots_of(const Registry& registry) {
  std::vector<std::string> slots;
  for (const Component& component : registry.components()) slots.push_back(component.slot);
  std::sort(slots.begin(), slots.end());
  slots.erase(std::unique(slots.begin(), slots.end()), slots.end());
  return slots;
}

void print_overview(const Registry& registry) {
  TextTable table;
  for (const std::string& slot : slots_of(registry)) {
    std::string left = slot;
    for (const Component& component : registry.components()) {
      if (component.slot != slot) continue;
      table.add({left, component.name(), component.schema.description()});
      left.clear();  // the slot stands once, before its first component
    }
  }
  std::cout << table.text(0)
            << "\n'tessera plugins NAME' lists the settings of a component, slot or plugin.\n";
  for (const LoadedPlugin& plugin : registry.plugins()) {
    if (!plugin.problem.empty()) std::cout << "\nleft out: " << plugin.problem << "\n";
  }
}

void print_component(const Registry& registry, const Component& component) {
  std::cout << component.slot << " '" << component.name() << "': " << component.schema.description() << "\n";
  for (const LoadedPlugin& plugin : registry.plugins()) {
    if (plugin.name == component.plugin && plugin.problem.empty()) {
      std::cout << "plugin " << plugin.name << " " << plugin.version << ", " << plugin.file.string() << "\n";
    }
  }
  if (component.schema.fields().empty()) {
    std::cout << "  no settings\n";
    return;
  }
  TextTable table;
  table.add({"key", "type", "default", "allowed", "unit"});
  for (const Field& field : component.schema.fields()) {
    table.add({field.name(), std::string(kind_name(field.kind())),
               field.required() ? "(required)" : to_toml_text(*field.fallback()), field.allowed_text(),
               field.unit()});
  }
  std::cout << table.text() << "\n";
  for (const Field& field : component.schema.fields()) {
    std::cout << "  " << field.name() << ": " << folded(field.help(), 100, field.name().size() + 4) << "\n";
  }
}

ExitCode run(const Arguments& arguments) {
  const Registry registry = Registry::with_installed_plugins();
  if (arguments.operands().empty()) {
    print_overview(registry);
    return ExitCode::done;
  }
  std::vector<std::string> names;
  for (const std::string& name : arguments.operands()) {
    bool found = false;
    for (const Component& component : registry.components()) {
      names.insert(names.end(), {component.name(), component.slot, component.plugin});
      if (name != component.name() && name != component.slot && name != component.plugin) continue;
      if (found) std::cout << "\n";
      print_component(registry, component);
      found = true;
    }
    if (!found) {
      const auto nearest = nearest_word(name, names);
      throw usage_error("no component, slot or plugin is called '" + name + "'", "plugins",
                        nearest ? "did you mean '" + *nearest + "'?" : "'tessera plugins' lists all.");
    }
  }
  return ExitCode::done;
}

}  // namespace

Command plugins_command() {
  CommandTable table;
  table.name = "plugins";
  table.summary = "list slots, components and their settings";
  table.details =
      "Plugins are looked for in the folders of TESSERA_PLUGIN_PATH (colon-separated), then in "
      "tessera/plugins "
      "beside libtessera. A configuration chooses a component by name: [model.feed_forward] name = "
      "\"swiglu\".";
  table.operands = {"NAME", "Component, slot or plugin whose settings to list.", 0, 1000};
  table.examples = {
      {"tessera plugins", "Everything there is, by slot."},
      {"tessera plugins dit sampler", "All settings of the backbone 'dit' and of every sampler."},
  };
  return {std::move(table), run, {}};
}

}  // namespace tessera::launch
