#pragma once
// Invariant: a plugin exports exactly one symbol, tessera_plugin, and is used only when it was built for
// this ABI version with a compatible compiler, Kokkos and instruction set: C++ types cross the boundary, so
// anything else would crash somewhere far from the cause.

#include <cstdint>
#include <string>
#include <vector>

#include "plugin/component.hpp"

namespace tessera {

/// Raised whenever a header under plugin/, nn/, ops/, tensor/ or base/ changes what a plugin sees.
inline constexpr std::uint32_t plugin_abi_version = 4;

/// Plain data, readable whatever the plugin was built with.
struct PluginDescriptor {
  std::uint32_t abi_version;
  const char* fingerprint;  ///< compiler, Kokkos and instruction set; see build_fingerprint()
  const char* name;
  const char* version;
  /// Only called after the fields above were found to fit.
  void (*list_components)(std::vector<Component>& out);
};

/// What this translation unit was built with.
[[nodiscard]] inline const char* build_fingerprint();

}  // namespace tessera

#include "plugin/fingerprint.hpp"

/// Defines the one exported symbol of a plugin. `list` is a function void(std::vector<tessera::Component>&).
#define TESSERA_PLUGIN(name, version, list)                                                               \
  extern "C" __attribute__((visibility("default"))) const tessera::PluginDescriptor* tessera_plugin() {   \
    static const tessera::PluginDescriptor descriptor{tessera::plugin_abi_version,                        \
                                                      tessera::build_fingerprint(), name, version, list}; \
    return &descriptor;                                                                                   \
  }
