#include "nn/parameter_store.hpp"

#include <set>

#include "ops/accumulate.hpp"

namespace tessera::nn {

ParameterStore::ParameterStore(Module& model) : model_(model) {
  const std::vector<NamedParameter> named = model.parameters();
  std::set<std::string> seen;
  // Declaration follows the forward pass closely, so its reverse is the order in which gradients complete.
  for (auto it = named.rbegin(); it != named.rend(); ++it) {
    if (!seen.insert(it->name).second) throw Error("two parameters have the name '" + it->name + "'");
    const std::int64_t count = it->parameter->shape().numel();
    slots_.push_back({it->name, it->parameter, elements_, count});
    elements_ += (count + alignment - 1) / alignment * alignment;
  }
}

void ParameterStore::materialise(const Precision& precision, const ArenaMaker& maker) {
  precision_ = precision;
  model_.set_precision(precision);
  const auto make = [&](const std::string& role, DType type) {
    return maker ? maker(role, elements_, type) : Tensor::zeros({elements_}, type);
  };
  values_ = make("values", precision.parameter);
  gradients_ = make("gradients", precision.parameter);
  if (precision.compute != precision.parameter) compute_ = make("compute", precision.compute);
  for (const ParameterSlot& slot : slots_) {
    Parameter& parameter = *slot.parameter;
    parameter.master_ = ops::Variable::leaf(view(values_, slot), view(gradients_, slot));
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

std::int64_t ParameterStore::trainable_parameters() const {
  std::int64_t count = 0;
  for (const ParameterSlot& slot : slots_) count += slot.count;
  return count;
}

Tensor ParameterStore::view(const Tensor& arena, const ParameterSlot& slot) const {
  return arena.slice(slot.offset, slot.offset + slot.count).view(slot.parameter->shape());
}

void ParameterStore::clear_gradients() {
  for (const ParameterSlot& slot : slots_) slot.parameter->master().node()->clear_gradient();
}

void ParameterStore::zero_missing_gradients() {
  for (const ParameterSlot& slot : slots_) {
    if (!slot.parameter->master().node()->has_gradient()) view(gradients_, slot).fill_zero();
  }
}

void ParameterStore::clear_uses() {
  for (const ParameterSlot& slot : slots_) slot.parameter->master().node()->clear_uses();
}

void ParameterStore::refresh_compute_copy(std::int64_t begin, std::int64_t end) {
  if (!compute_.defined()) return;
  ops::add_into(values_.slice(begin, end), compute_.slice(begin, end), false);
}

}  // namespace tessera::nn
