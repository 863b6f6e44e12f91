#include "nn/parameter_store.hpp"

#include <algorithm>
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
  if (!held_.empty() && precision.compute == precision.parameter) {
    throw Error("a model that computes with its values needs all of them");
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
    // On all ranks alike, whatever happens to be in a rank's part.
    parameter.whole_ = held_.empty() || parameter.options().exact;
  }
}

std::vector<ElementRange> ParameterStore::held_in(std::int64_t begin, std::int64_t end) const {
  if (held_.empty()) return {{begin, end}};
  std::vector<ElementRange> parts;
  for (const ElementRange& range : held_) {
    const ElementRange part{std::max(begin, range.begin), std::min(end, range.end)};
    if (part.begin < part.end) parts.push_back(part);
  }
  return parts;
}

bool ParameterStore::holds_whole(const ParameterSlot& slot) const {
  const std::vector<ElementRange> parts = held_in(slot.offset, slot.offset + slot.count);
  return parts.size() == 1 && parts.front().end - parts.front().begin == slot.count;
}

void ParameterStore::initialize(std::uint64_t seed) {
  for (const ElementRange& range : held_in(0, elements_)) values_.slice(range.begin, range.end).fill_zero();
  if (compute_.defined()) compute_.fill_zero();
  for (const ParameterSlot& slot : slots_) {
    write(slot, [&](const Tensor& value) {
      nn::initialize(slot.parameter->initializer(), seed, slot.name, value);
    });
  }
}

void ParameterStore::write(const ParameterSlot& slot, const std::function<void(const Tensor&)>& fill) {
  const std::int64_t end = slot.offset + slot.count;
  if (holds_whole(slot)) {
    fill(view(values_, slot));
    refresh_compute_copy(slot.offset, end);
    return;
  }
  const Tensor whole = Tensor::empty(slot.parameter->shape(), precision_.parameter);
  fill(whole);
  const Tensor flat = whole.view({slot.count});
  for (const ElementRange& part : held_in(slot.offset, end)) {
    values_.slice(part.begin, part.end)
        .copy_from(flat.slice(part.begin - slot.offset, part.end - slot.offset));
  }
  ops::add_into(flat, compute_.slice(slot.offset, end), false);
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
    if (const ops::NodePtr& node = slot.parameter->node()) node->clear_gradient();
  }
}

void ParameterStore::zero_missing_gradients() {
  for (const ParameterSlot& slot : trainable_slots()) {
    if (!slot.parameter->node()->has_gradient()) view(gradients_, slot).fill_zero();
  }
}

void ParameterStore::clear_uses() {
  for (const ParameterSlot& slot : slots_) {
    if (const ops::NodePtr& node = slot.parameter->node()) node->clear_uses();
  }
}

void ParameterStore::refresh_compute_copy(std::int64_t begin, std::int64_t end) {
  if (!compute_.defined()) return;
  for (const ElementRange& part : held_in(begin, end)) {
    ops::add_into(values_.slice(part.begin, part.end), compute_.slice(part.begin, part.end), false);
  }
}

}  // namespace tessera::nn
