#include "plugin/assembly.hpp"

namespace tessera {

bool Assembly::wanted(const std::string& key) {
  if (!configuration_.has(key)) return false;
  const std::string name = name_at(key);
  if (name == "none") resolved_.set(key + ".name", FieldValue(name));
  return name != "none";
}

std::string Assembly::name_at(const std::string& key) const {
  return configuration_.get_string(key + ".name");
}

Assembly::Prepared Assembly::prepare(const std::string& slot, const std::string& key) {
  const ConfigTree table = configuration_.table(key);
  const Component& component =
      registry_->find(slot, configuration_.get_string(key + ".name"), configuration_.where(key + ".name"));
  Config config = Config::resolve(table, component.schema, {"name"});
  resolved_.set(key + ".name", FieldValue(component.name()));
  resolved_.insert(key, config);
  return {&component, std::move(config)};
}

}  // namespace tessera
