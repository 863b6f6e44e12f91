#include "plugin/registry.hpp"

#include <dlfcn.h>

#include <algorithm>
#include <cstdlib>
#include <sstream>

#include "base/error.hpp"
#include "plugin/abi.hpp"

namespace tessera {
namespace {

using EntryPoint = const PluginDescriptor* (*)();

std::filesystem::path folder_of_this_library() {
  Dl_info info{};
  if (dladdr(reinterpret_cast<const void*>(&folder_of_this_library), &info) == 0 ||
      info.dli_fname == nullptr) {
    throw Error("cannot find where libtessera was loaded from", {},
                "set TESSERA_PLUGIN_PATH to the plugin folder");
  }
  return std::filesystem::absolute(info.dli_fname).parent_path();
}

/// Loads a plugin and checks that it fits; its code stays loaded when it does.
const PluginDescriptor& open_plugin(const std::filesystem::path& file) {
  void* library = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    throw Error(std::string("the plugin cannot be loaded: ") + dlerror(), file.string(),
                "rebuild it against this version of Tessera");
  }
  // dlsym returns a data pointer for a function by POSIX's own convention.
  const auto entry = reinterpret_cast<EntryPoint>(dlsym(library, "tessera_plugin"));
  if (entry == nullptr) {
    dlclose(library);
    throw Error("the library exports no symbol tessera_plugin, so it is not a plugin", file.string(),
                "declare one with TESSERA_PLUGIN(name, version, list)");
  }
  const PluginDescriptor& descriptor = *entry();
  if (descriptor.abi_version != plugin_abi_version) {
    const std::string built = std::to_string(descriptor.abi_version);
    dlclose(library);
    throw Error("the plugin was built for plugin ABI " + built + ", this Tessera has ABI " +
                    std::to_string(plugin_abi_version),
                file.string(), "rebuild the plugin against this version of Tessera");
  }
  if (std::string(descriptor.fingerprint) != build_fingerprint()) {
    const std::string built = descriptor.fingerprint;
    dlclose(library);
    throw Error("the plugin was built with '" + built + "', Tessera with '" + build_fingerprint() + "'",
                file.string(), "rebuild the plugin with the same compiler, Kokkos and instruction set");
  }
  return descriptor;
}

}  // namespace

Registry Registry::with_installed_plugins() {
  Registry registry;
  if (const char* path = std::getenv("TESSERA_PLUGIN_PATH")) {
    std::istringstream folders(path);
    for (std::string folder; std::getline(folders, folder, ':');) {
      if (!folder.empty()) registry.load_folder(folder);
    }
  }
  const std::filesystem::path installed = folder_of_this_library() / "tessera" / "plugins";
  if (std::filesystem::is_directory(installed)) registry.load_folder(installed);
  return registry;
}

void Registry::add(Component component) {
  for (const Component& other : components_) {
    if (other.slot == component.slot && other.name() == component.name()) {
      throw Error("the slot '" + component.slot + "' already has a component '" + component.name() +
                      "' (from " + other.plugin + ")",
                  component.plugin, "rename one of the two");
    }
  }
  components_.push_back(std::move(component));
}

void Registry::load(const std::filesystem::path& file) {
  const PluginDescriptor& descriptor = open_plugin(file);
  std::vector<Component> offered;
  descriptor.list_components(offered);
  for (Component& component : offered) {
    component.plugin = descriptor.name;
    add(std::move(component));
  }
  plugins_.push_back({file, descriptor.name, descriptor.version, {}});
}

void Registry::load_folder(const std::filesystem::path& folder) {
  if (!std::filesystem::is_directory(folder)) {
    throw Error("the plugin folder does not exist", folder.string(), "correct TESSERA_PLUGIN_PATH");
  }
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() == ".so") files.push_back(entry.path());
  }
  std::sort(files.begin(),
            files.end());  // the order of a directory is arbitrary, that of an error must not be
  for (const auto& file : files) {
    try {
      load(file);
    } catch (const Error& problem) {
      plugins_.push_back({file, file.stem().string(), {}, problem.what()});
    }
  }
}

const Component& Registry::find(const std::string& slot, const std::string& name,
                                const std::string& where) const {
  std::vector<std::string> names;
  for (const Component& component : components_) {
    if (component.slot != slot) continue;
    if (component.name() == name) return component;
    names.push_back(component.name());
  }
  std::string remedy = "use one of";
  for (const std::string& other : names) remedy += (&other == &names.front() ? " '" : ", '") + other + "'";
  if (names.empty()) remedy = "no plugin offers anything for this slot; check TESSERA_PLUGIN_PATH";
  if (const auto nearest = nearest_word(name, names))
    remedy = "did you mean '" + *nearest + "'? Otherwise " + remedy;
  for (const LoadedPlugin& plugin : plugins_) {
    if (!plugin.problem.empty()) remedy += "; a plugin was left out: " + plugin.problem;
  }
  throw Error("there is no " + slot + " component '" + name + "'", where, remedy);
}

}  // namespace tessera
