#pragma once
// Invariant: every component that was made is made from a checked configuration, and that configuration,
// defaults included, is in resolved().

#include <any>
#include <memory>
#include <string>

#include "base/config_tree.hpp"
#include "base/error.hpp"
#include "plugin/registry.hpp"

namespace tessera {

/// Makes components from the tables of one configuration: the table at `key` names a component of the slot
/// ("name") and holds its settings.
///   [model.feed_forward]
///   name = "swiglu"
///   multiple_of = 256
class Assembly {
 public:
  Assembly(const Registry& registry, ConfigTree configuration)
      : registry_(&registry), configuration_(std::move(configuration)) {}

  /// @throws Error on an unknown component or a bad setting.
  template <class Slot>
  [[nodiscard]] std::unique_ptr<Slot> make(const std::string& key, const typename Slot::Spec& spec) {
    const Prepared prepared = prepare(Slot::slot_name, key);
    const auto* factory = std::any_cast<Factory<Slot>>(&prepared.component->factory);
    if (factory == nullptr) {
      throw Error("the component '" + prepared.component->name() +
                      "' was registered for another interface than '" + std::string(Slot::slot_name) + "'",
                  prepared.component->plugin, "rebuild the plugin against this version of Tessera");
    }
    return (*factory)(prepared.config, spec, *this);
  }
  /// The same, or null when the table is missing or names "none".
  template <class Slot>
  [[nodiscard]] std::unique_ptr<Slot> make_optional(const std::string& key, const typename Slot::Spec& spec) {
    return wanted(key) ? make<Slot>(key, spec) : nullptr;
  }
  /// The component's name at `key`.
  [[nodiscard]] std::string name_at(const std::string& key) const;

  [[nodiscard]] const ConfigTree& configuration() const { return configuration_; }
  /// The settings of every component made so far, defaults included.
  [[nodiscard]] const ConfigTree& resolved() const { return resolved_; }
  [[nodiscard]] const Registry& registry() const { return *registry_; }

 private:
  struct Prepared {
    const Component* component;
    Config config;
  };
  Prepared prepare(const std::string& slot, const std::string& key);
  bool wanted(const std::string& key);

  const Registry* registry_;
  ConfigTree configuration_;
  ConfigTree resolved_;
};

}  // namespace tessera
