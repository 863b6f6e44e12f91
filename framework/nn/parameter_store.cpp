#include "nn/parameter_store.hpp"

#include <set>

#include "ops/accumulate.hpp"

namespace tessera::nn {
namespace {

std::int64_t count_of(std::span<const ParameterSlot> slots) {
  std::int64_t count = 0;
  for (const ParameterSlot& slot : slots) count += slot.count;
  return count;
}

}  // namespace

ParameterStore::ParameterStore(Module& model) : model_(model) {
  const std::vector<NamedParameter> named = model.parameters();
  std::set<std::string> seen;
  for (const NamedParameter& parameter : named) {
    if (!seen.insert(parameter.name).second) {
      throw Error("two parameters have the name '" + parameter.name + "'");
    }
  }
  // Declaration follows the forward pass closely, so its reverse is the order in which gradients complete.
  const auto append = [&](bool trainable) {
    for (auto it = named.rbegin(); it != named.rend(); ++it) {
      if (it->parameter->options().trainable != trainable) continue;
      const std::int64_t count = it->parameter->shape().numel();
      slots_.push_back({it->name, it->parameter, elements_, count, trainable});
      elements_ += (count + alignment - 1) / alignment * alignment;
    }
  };
  append(true);
  trainable_slots_ = slots_.size();
  trainable_elements_ = elements_;
  append(false);
}

void ParameterStore::materialise(const Precision& precision, const ArenaMaker& maker, GradientFlow flow) {
  precision_ = precision;
  model_.set_precision(precision);
  const auto make = [&](const std::string& role, std::int64_t elements, DType type) {
    return maker ? maker(role, elements, type) : Tensor::zeros({elements}, type);
  };
  for (const ParameterSlot& slot : slots_) {
    if (slot.parameter->options().trainable == slot.trainable) continue;
    throw Error("the parameter '" + slot.name + "' was frozen or thawed after its place was settled", {},
                "freeze a model before its ParameterStore is made");
  }
  values_ = make("values", elements_, precision.parameter);
  if (flow != GradientFlow::none) gradients_ = make("gradients", trainable_elements_, precision.parameter);
  if (precision.compute != precision.parameter) compute_ = make("compute", elements_, precision.compute);
  for (const ParameterSlot& slot : slots_) {
    Parameter& parameter = *slot.parameter;
    const Tensor value = view(values_, slot);
    if (!slot.trainable || flow == GradientFlow::none) {
      parameter.master_ = ops::Variable(value);
    } else if (flow == GradientFlow::handed_over) {
      parameter.master_ = ops::Variable::leaf(value);
    } else {
      parameter.master_ = ops::Variable::leaf(value, view(gradients_, slot));
    }
    parameter.compute_ = compute_.defined() ? ops::Variable(view(compute_, slot), parameter.master_.node())
                                            : parameter.master_;
  }
}

void ParameterStore::initialize(std::uint64_t seed) {
  values_.fill_zero();
  for (const ParameterSlot& slot : slots_) {
    nn::initialize(slot.parameter->initializer(), seed, slot.name, view(values_, slot));
  }
  refresh_compute_copy();
}

const ParameterSlot& ParameterStore::slot(const std::string& name) const {
  for (const ParameterSlot& slot : slots_) {
    if (slot.name == name) return slot;
  }
  throw Error("the model has no parameter '" + name + "'");
}

std::span<const ParameterSlot> ParameterStore::slots_in(std::int64_t elements) const {
  if (elements == elements_) return slots_;
  if (elements == trainable_elements_) return trainable_slots();
  throw Error("an arena of " + std::to_string(elements) + " elements does not suit a model of " +
              std::to_string(elements_) + ", of which " + std::to_string(trainable_elements_) +
              " are trainable");
}

std::int64_t ParameterStore::trainable_parameters() const { return count_of(trainable_slots()); }

std::int64_t ParameterStore::frozen_parameters() const { return count_of(slots_) - trainable_parameters(); }

Tensor ParameterStore::view(const Tensor& arena, const ParameterSlot& slot) const {
  if (!slot.trainable && arena.numel() != elements_) {
    throw Error("the parameter '" + slot.name + "' is not trainable: it has only a value");
  }
  return arena.slice(slot.offset, slot.offset + slot.count).view(slot.parameter->shape());
}

void ParameterStore::clear_gradients() {
  for (const ParameterSlot& slot : slots_) {
    if (const ops::NodePtr& node = slot.parameter->master().node()) node->clear_gradient();
  }
}

void ParameterStore::zero_missing_gradients() {
  for (const ParameterSlot& slot : trainable_slots()) {
    if (!slot.parameter->master().node()->has_gradient()) view(gradients_, slot).fill_zero();
  }
}

void ParameterStore::clear_uses() {
  for (const ParameterSlot& slot : slots_) {
    if (const ops::NodePtr& node = slot.parameter->master().node()) node->clear_uses();
  }
}

void ParameterStore::refresh_compute_copy(std::int64_t begin, std::int64_t end) {
  if (!compute_.defined()) return;
  ops::add_into(values_.slice(begin, end), compute_.slice(begin, end), false);
}

}  // namespace tessera::nn
