#include "nn/module.hpp"

namespace tessera::nn {

Precision Precision::named(const std::string& name) {
  if (name == "float32") return {DType::f32, DType::f32, DType::f32, DType::f32};
  if (name == "bfloat16") return {DType::f32, DType::bf16, DType::f32, DType::f32};
  if (name == "float64") return {DType::f64, DType::f64, DType::f64, DType::f64};
  throw Error("unknown precision '" + name + "'", {}, "use float32, bfloat16 or float64");
}

const ops::Variable& Parameter::master() const {
  if (!whole_) {
    throw Error(
        "the parameter '" + name_ + "' is read in " + name_of(master_.dtype()) +
            ", but ranks have only parts of it and the copy in " + name_of(compute_.dtype()),
        "sharded training",
        "Declare it with ParameterOptions::exact, read Parameter::value(), or train with [run] shard = "
        "\"none\".");
  }
  return master_;
}

void Parameter::set_trainable(bool trainable) {
  if (master_.defined() && trainable != options_.trainable) {
    throw Error("the parameter '" + name_ + "' cannot be " + (trainable ? "thawed" : "frozen") +
                    ": it has memory already",
                {}, "freeze a model before its ParameterStore gives it memory");
  }
  options_.trainable = trainable;
}

Parameter& Module::declare(std::string name, Shape shape, Initializer initializer, ParameterOptions options) {
  return own_.emplace_back(std::move(name), shape, initializer, options);
}

void Module::add_child(std::string name, Module& module) { children_.emplace_back(std::move(name), &module); }

std::vector<NamedParameter> Module::parameters(const std::string& prefix) {
  std::vector<NamedParameter> all;
  const std::string path = prefix.empty() ? prefix : prefix + ".";
  for (Parameter& parameter : own_) all.push_back({path + parameter.name(), &parameter});
  for (const auto& [name, child] : children_) {
    const std::vector<NamedParameter> below = child->parameters(name.empty() ? prefix : path + name);
    all.insert(all.end(), below.begin(), below.end());
  }
  return all;
}

std::vector<NamedModule> Module::modules(const std::string& path) {
  std::vector<NamedModule> all{{path, this}};
  for (const auto& [name, child] : children_) {
    const bool deeper = !path.empty() && !name.empty();
    const std::vector<NamedModule> below = child->modules(path + (deeper ? "." : "") + name);
    all.insert(all.end(), below.begin(), below.end());
  }
  return all;
}

void Module::set_precision(const Precision& precision) {
  precision_ = precision;
  for (const auto& [name, child] : children_) child->set_precision(precision);
}

void freeze(Module& module) {
  for (const NamedParameter& named : module.parameters()) named.parameter->set_trainable(false);
}

}  // namespace tessera::nn
