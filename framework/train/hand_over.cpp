#include "train/hand_over.hpp"

#include <algorithm>
#include <iterator>
#include <map>
#include <set>

#include "nn/names.hpp"
#include "ops/accumulate.hpp"
#include "plugin/assembly.hpp"
#include "train/run_config.hpp"

namespace tessera::train {
namespace {

std::string counted(const std::vector<std::string>& names) {
  return names.empty() ? "none" : std::to_string(names.size()) + " (" + nn::name_patterns(names) + ")";
}

void move_tensor(const TensorRule& rule, const EarlierModel& from, const Tensor& to) {
  if (!rule.derive) {
    to.copy_from(ops::converted(from.read(rule.sources.front()), to.dtype()));
    return;
  }
  std::vector<std::vector<double>> sources;
  for (const std::string& source : rule.sources) {
    sources.push_back(ops::converted(from.read(source), DType::f64).to_host<double>());
  }
  to.copy_from(ops::converted(Tensor::from_host(rule.derive(sources), to.shape()), to.dtype()));
}

}  // namespace

ModelOutline outline_of(RunComponents& components) {
  ModelOutline outline;
  for (const nn::NamedParameter& named : components.backbone().parameters()) {
    outline.parameters.emplace(named.name, named.parameter->shape());
    if (!named.parameter->options().trainable) outline.frozen.insert(named.name);
  }
  if (const Adapter* adapter = components.adapter()) outline.copies = adapter->copies();
  outline.tables = components.resolved().table("model");
  return outline;
}

EarlierModel earlier_model(RunComponents& components, const ModelState& model) {
  struct Place {
    std::int64_t offset;
    Shape shape;
  };
  std::map<std::string, Place> places;
  for (const nn::ParameterSlot& slot : model.store().slots()) {
    places.emplace(slot.name, Place{slot.offset, slot.parameter->shape()});
  }
  return {outline_of(components),
          [places = std::move(places), values = model.whole_values()](const std::string& parameter) {
            const Place& place = places.at(parameter);
            return values.slice(place.offset, place.offset + place.shape.numel()).view(place.shape);
          }};
}

EarlierModel earlier_model(const checkpoint::Description& description, const std::filesystem::path& file,
                           checkpoint::Weights weights) {
  EarlierModel model;
  std::map<std::string, checkpoint::TensorEntry> entries = checkpoint::weights_in(description, file, weights);
  for (const auto& [parameter, entry] : entries) {
    model.outline.parameters.emplace(parameter, Shape(entry.shape.begin(), entry.shape.end()));
    const bool trained = std::ranges::any_of(
        description.tensors, [&](const auto& other) { return other.name == "first_moment/" + parameter; });
    if (!trained) model.outline.frozen.insert(parameter);
  }
  const RunConfig config =
      RunConfig::resolve(ConfigTree::parse(description.state.config, file.string() + " (its configuration)"));
  model.outline.tables = config.stage_tree(config.stage_of(description.state)).table("model");
  model.read = [entries = std::move(entries), file](const std::string& parameter) {
    return checkpoint::read_tensor(file, entries.at(parameter));
  };
  return model;
}

ConfigTree resolved_hand_over(const Registry& registry, const ConfigTree& hand_over) {
  Assembly assembly(registry, hand_over);
  (void)assembly.make<HandOver>("hand_over", {});
  return assembly.resolved();
}

PlannedHandOver::PlannedHandOver(const Registry& registry, const ConfigTree& hand_over,
                                 const ModelOutline& from, const ModelOutline& to, const std::string& into)
    : into_(into), where_(hand_over.where("hand_over")) {
  Assembly assembly(registry, hand_over);
  const std::unique_ptr<HandOver> component = assembly.make<HandOver>("hand_over", {});
  name_ = assembly.name_at("hand_over");
  continues_training_ = component->continues_training();
  try {
    rules_ = component->rules(from, to);
  } catch (const Error& error) {
    throw failure(error.summary(), error.remedy());
  }
  add_copies(to);
  check(from, to);
}

void PlannedHandOver::add_copies(const ModelOutline& to) {
  const std::vector<TensorRule> given = rules_;
  const auto rule_of = [&](const std::string& target) {
    return std::ranges::find(given, target, &TensorRule::target);
  };
  for (const auto& [copy, original] : to.copies) {
    if (rule_of(copy) != given.end()) continue;
    const auto rule = rule_of(original);
    if (rule != given.end()) rules_.push_back({copy, rule->sources, rule->derive});
  }
}

Error PlannedHandOver::failure(const std::string& what, const std::string& remedy) const {
  return Error("the hand-over '" + name_ + "' does not lead to the model of " + into_ + ": " + what, where_,
               remedy);
}

void PlannedHandOver::check(const ModelOutline& from, const ModelOutline& to) {
  const auto fail = [&](const TensorRule& rule, const std::string& what) {
    throw failure("its rule for the tensor '" + rule.target + "' " + what, "Correct the component.");
  };
  std::set<std::string> targets, used;
  for (const TensorRule& rule : rules_) {
    const Shape* target = to.find(rule.target);
    if (target == nullptr) fail(rule, "names no parameter of the new model");
    if (!targets.insert(rule.target).second) fail(rule, "is not the only one");
    for (const std::string& source : rule.sources) {
      if (from.find(source) == nullptr)
        fail(rule, "needs '" + source + "', which the old model does not have");
      used.insert(source);
    }
    if (rule.derive) continue;
    if (rule.sources.size() != 1)
      fail(rule, "copies from " + std::to_string(rule.sources.size()) + " tensors");
    const Shape& source = *from.find(rule.sources.front());
    if (!(source == *target)) fail(rule, "copies " + source.to_string() + " to " + target->to_string());
  }
  for (const auto& [name, shape] : to.parameters) {
    if (!targets.contains(name)) fresh_.push_back(name);
  }
  for (const auto& [name, shape] : from.parameters) {
    if (!used.contains(name)) left_behind_.push_back(name);
  }
  if (to.tables.get_string("adapter.name", "none") != "none") check_base(to);
  if (continues_training_ && !(fresh_.empty() && left_behind_.empty() && from.frozen == to.frozen)) {
    throw failure("it would go on with the optimizer of a model that has other parameters",
                  "Use hand_over = \"weights\".");
  }
}

void PlannedHandOver::check_base(const ModelOutline& to) const {
  std::vector<std::string> missing;
  std::ranges::copy_if(fresh_, std::back_inserter(missing),
                       [&](const std::string& name) { return to.frozen.contains(name); });
  if (missing.empty()) return;
  throw failure("an adapter leaves the model as it is, but the old model has no values for " +
                    nn::name_patterns(missing),
                "Adapt a model with the [model] tables that it was trained with: `tessera checkpoint show "
                "--config` prints them.");
}

std::string PlannedHandOver::summary() const {
  if (continues_training_) return name_ + ": weights, moments, step count and running average go on";
  const auto derived = static_cast<std::size_t>(
      std::ranges::count_if(rules_, [](const TensorRule& rule) { return static_cast<bool>(rule.derive); }));
  return name_ + ": " + std::to_string(rules_.size() - derived) + " tensors copied, " +
         std::to_string(derived) + " derived; initial values: " + counted(fresh_) +
         "; left behind: " + counted(left_behind_);
}

void PlannedHandOver::apply(const EarlierModel& from, ModelState& to) const {
  if (continues_training_) return;
  to.write_values([&](int rank, int ranks) {
    nn::ParameterStore& store = to.store();
    for (std::size_t i = static_cast<std::size_t>(rank); i < rules_.size();
         i += static_cast<std::size_t>(ranks)) {
      const TensorRule& rule = rules_[i];
      try {
        store.write(store.slot(rule.target), [&](const Tensor& value) { move_tensor(rule, from, value); });
      } catch (const Error& error) {
        throw failure("the tensor '" + rule.target + "' cannot be filled: " + error.summary(),
                      error.remedy());
      }
    }
  });
}

}  // namespace tessera::train
