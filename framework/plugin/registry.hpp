#pragma once
// Invariant: a component name is unique within its slot; libraries once loaded stay loaded, because objects
// with their code may outlive the registry.

#include <filesystem>
#include <string>
#include <vector>

#include "plugin/component.hpp"

namespace tessera {

/// A plugin that was found, or the reason why it cannot be used.
struct LoadedPlugin {
  std::filesystem::path file;
  std::string name;
  std::string version;
  std::string problem;  ///< empty when its components are registered
};

class Registry {
 public:
  /// All plugins found in the plugin folders: $TESSERA_PLUGIN_PATH (colon-separated), then the folder
  /// tessera/plugins beside libtessera. A plugin that does not fit is remembered with its problem and named
  /// when somebody asks for what it might have offered.
  static Registry with_installed_plugins();

  /// @throws Error when the slot already has a component of that name.
  void add(Component component);
  /// @throws Error when the file is no plugin, or was built for another ABI, compiler, Kokkos or CPU.
  void load(const std::filesystem::path& file);
  /// Loads every *.so of a folder; problems are remembered in plugins().
  void load_folder(const std::filesystem::path& folder);

  /// @throws Error naming the slot, the nearest name and all names, at `where` in the configuration.
  [[nodiscard]] const Component& find(const std::string& slot, const std::string& name,
                                      const std::string& where = {}) const;
  [[nodiscard]] const std::vector<Component>& components() const { return components_; }
  [[nodiscard]] const std::vector<LoadedPlugin>& plugins() const { return plugins_; }

 private:
  std::vector<Component> components_;
  std::vector<LoadedPlugin> plugins_;
};

}  // namespace tessera
