#include "ops/graph.hpp"

#include <algorithm>
#include <queue>
#include <unordered_set>
#include <utility>

#include "base/activity.hpp"
#include "ops/accumulate.hpp"

namespace tessera::ops {
namespace {

thread_local bool no_grad = false;
thread_local std::uint64_t order_counter = 0;
thread_local std::uint64_t differentiable_operations = 0;  // recorded or not
thread_local int backward_depth = 0;
thread_local BackwardProgress progress;

/// Counts nested backward passes, also when one of them throws.
struct DepthScope {
  DepthScope() { ++backward_depth; }
  ~DepthScope() { --backward_depth; }
  DepthScope(const DepthScope&) = delete;
  DepthScope& operator=(const DepthScope&) = delete;
};

struct LaterFirst {
  bool operator()(const NodePtr& a, const NodePtr& b) const { return a->order() < b->order(); }
};

}  // namespace

NoGradScope::NoGradScope(bool value) : previous_(no_grad) { no_grad = value; }
NoGradScope::~NoGradScope() { no_grad = previous_; }
bool grad_enabled() { return !no_grad; }
std::uint64_t next_order() { return ++order_counter; }
void set_backward_progress(BackwardProgress callback) { progress = std::move(callback); }

Variable Variable::leaf(Tensor value) {
  auto node = std::make_shared<Node>(value.shape(), value.dtype());
  return {std::move(value), std::move(node)};
}

Variable Variable::leaf(Tensor value, Tensor gradient) {
  if (!(value.shape() == gradient.shape())) {
    throw Error("a gradient of shape " + gradient.shape().to_string() + " does not fit the value " +
                value.shape().to_string());
  }
  auto node = std::make_shared<Node>(value.shape(), gradient.dtype());
  node->gradient_ = std::move(gradient);
  node->external_ = true;
  return {std::move(value), std::move(node)};
}

const Tensor& Kept::tensor() const {
  if (again_ == nullptr) return value_;
  if (!again_->value.defined()) again_->value = again_->make();
  return again_->value;
}

Kept Variable::kept() const {
  return node_ != nullptr && node_->result_.remade() ? node_->result_ : Kept(value_);
}

Tensor Variable::gradient() const {
  return node_ != nullptr && node_->has_gradient() ? node_->gradient() : Tensor();
}

void Node::clear_gradient() {
  filled_ = false;
  if (!external_) gradient_ = Tensor();
}

Tensor Node::take_gradient() {
  const Tensor memory = std::exchange(gradient_, Tensor());
  external_ = false;
  return std::exchange(filled_, false) ? memory : Tensor();
}

void Node::lend_gradient(const Tensor& memory) {
  if (memory.dtype() != gradient_type_) {
    throw Error(std::string("a gradient of ") + name_of(gradient_type_) + " cannot be written to memory of " +
                name_of(memory.dtype()));
  }
  gradient_ = memory.view(shape_);
  external_ = true;
  filled_ = false;
}

GradientSlot::GradientSlot(const NodePtr& node) {
  if (node == nullptr) return;
  if (!node->gradient_.defined()) node->gradient_ = Tensor::empty(node->shape_, node->gradient_type_);
  tensor = node->gradient_;
  accumulate = node->filled_;
  node->filled_ = true;
}

Variable record(Tensor value, const std::vector<Variable>& inputs, Backward backward, Remake remake) {
  beat();
  const std::uint64_t order = next_order();
  bool differentiable = false;
  for (const Variable& input : inputs) {
    const NodePtr& node = input.node();
    if (node == nullptr) continue;
    differentiable = true;
    // Uses count even when nothing is recorded: a recomputed region uses its parameters too.
    if (node->is_leaf() && order < node->first_use_) node->first_use_ = order;
  }
  if (differentiable) ++differentiable_operations;
  if (!differentiable || !grad_enabled()) return Variable(std::move(value));
  auto node = std::make_shared<Node>(value.shape(), value.dtype());
  node->order_ = order;
  for (const Variable& input : inputs) {
    if (input.requires_grad()) node->inputs_.push_back(input.node());
  }
  node->backward_ = std::move(backward);
  if (remake) {
    int depth = 1;
    for (const NodePtr& input : node->inputs_) depth = std::max(depth, input->result_.depth() + 1);
    node->result_ = Kept(std::move(remake), depth);
  }
  return {std::move(value), std::move(node)};
}

Variable record(Tensor value, std::initializer_list<Variable> inputs, Backward backward, Remake remake) {
  return record(std::move(value), std::vector<Variable>(inputs), std::move(backward), std::move(remake));
}

void pass_gradient(const NodePtr& node, const Tensor& gradient) {
  if (node == nullptr) return;
  if (!node->filled_ && !node->external_ && gradient.dtype() == node->gradient_type_) {
    node->gradient_ = gradient.view(node->shape_);
    node->filled_ = true;
    return;
  }
  const GradientSlot slot(node);
  add_into(gradient, slot.tensor, slot.accumulate);
}

void backward(const Variable& output, const Tensor& seed) {
  if (!output.requires_grad()) {
    throw Error("backward was asked of a value that depends on nothing differentiable");
  }
  if (!(seed.shape() == output.shape())) {
    throw Error("the seed " + seed.shape().to_string() + " does not fit the output " +
                output.shape().to_string());
  }
  pass_gradient(output.node(), seed);

  std::priority_queue<NodePtr, std::vector<NodePtr>, LaterFirst> pending;
  std::unordered_set<const Node*> queued;
  const auto push = [&](const NodePtr& node) {
    if (!node->is_leaf() && queued.insert(node.get()).second) pending.push(node);
  };
  push(output.node());
  const DepthScope depth;
  while (!pending.empty()) {
    const NodePtr node = pending.top();
    pending.pop();
    const std::vector<NodePtr> inputs = std::exchange(node->inputs_, {});
    node->result_ = Kept();  // all users have run
    if (node->filled_) {
      const Tensor gradient = std::exchange(node->gradient_, Tensor());
      const Backward run = std::exchange(node->backward_, nullptr);
      run(gradient);
      beat();
    }
    for (const NodePtr& input : inputs) push(input);
    // Inside a recomputed region the numbering is that of the second run and says nothing to the outside.
    if (backward_depth == 1 && progress) progress(node->order());
  }
}

Variable recompute(const std::function<Variable(const std::vector<Variable>&)>& body,
                   const std::vector<Variable>& inputs) {
  if (!grad_enabled()) return body(inputs);
  Tensor value;
  const std::uint64_t before = differentiable_operations;
  {
    const NoGradScope scope;
    value = body(inputs).value();
  }
  // Constant inputs and frozen parameters alone: nothing would come of running it again.
  const bool constant =
      std::ranges::none_of(inputs, [](const Variable& input) { return input.requires_grad(); });
  if (constant && differentiable_operations == before) return Variable(std::move(value));
  // The region may have parameters of its own: it then needs a backward even when no input does.
  std::vector<Variable> recorded = inputs;
  recorded.push_back(Variable::leaf(Tensor::meta({}, value.dtype())));
  return record(value, recorded, [body, inputs](const Tensor& gradient) {
    std::vector<Variable> fresh;
    fresh.reserve(inputs.size());
    for (const Variable& input : inputs) {
      fresh.push_back(input.requires_grad() ? Variable::leaf(input.value()) : Variable(input.value()));
    }
    const NoGradScope scope(false);
    const Variable again = body(fresh);
    if (!again.requires_grad()) return;  // the inputs' gradients end inside
    backward(again, gradient);
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      if (fresh[i].requires_grad() && fresh[i].gradient().defined()) {
        pass_gradient(inputs[i].node(), fresh[i].gradient());
      }
    }
  });
}

}  // namespace tessera::ops
