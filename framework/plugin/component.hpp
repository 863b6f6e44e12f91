#pragma once
// Invariant: everything selected by name in a configuration is a Component: a slot it fills, a name, a
// schema that says every key it understands, and a factory. Components that the core brings are registered
// the same way as those of plugins.

#include <any>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "base/config.hpp"
#include "base/schema.hpp"

namespace tessera {

class Assembly;

/// A slot is an abstract class with a `slot_name` and a Spec: what the surroundings tell the component, as
/// opposed to what its configuration says.
template <class Slot>
using Factory = std::function<std::unique_ptr<Slot>(const Config& config, const typename Slot::Spec& spec,
                                                    Assembly& assembly)>;

struct Component {
  std::string slot;    ///< "feed-forward"
  Schema schema;       ///< its name() is the component's name, its description() the one-line description
  std::any factory;    ///< a Factory<Slot>
  std::string plugin;  ///< the plugin it came from; filled in by the registry

  [[nodiscard]] const std::string& name() const { return schema.name(); }
};

/// A component of `Slot` made by `factory`.
template <class Slot>
[[nodiscard]] Component component(Schema schema, Factory<Slot> factory) {
  return {Slot::slot_name, std::move(schema), std::any(std::move(factory)), {}};
}

}  // namespace tessera
