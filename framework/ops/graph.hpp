#pragma once
// Invariant: an operation's backward sees exactly the values its forward saw (nothing saved is modified in
// place; what is made again has the same bits), every gradient is complete before the node that needs it runs
// (nodes run in reverse order of creation), and memory saved for backward is released as soon as its node has
// run.

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <limits>
#include <memory>
#include <vector>

#include "tensor/tensor.hpp"

namespace tessera::ops {

class Node;
using NodePtr = std::shared_ptr<Node>;
/// Receives the gradient of the operation's output and adds to the gradients of its inputs.
using Backward = std::function<void(const Tensor& output_gradient)>;

/// Makes an operation's result again, in the same bits, from what its backward keeps anyway.
using Remake = std::function<Tensor()>;

/// A value that a backward needs. It is the tensor itself, or, when the operation that gave it can make it
/// again at the price of reading its inputs (norms, activations, gathers), the way to do that: the memory is
/// then free from the end of forward until the backward of the value's users.
class Kept {
 public:
  Kept() = default;
  explicit Kept(Tensor value) : value_(std::move(value)) {}
  /// @param depth  how many values are made again, one from the other, until this one is there; at least 1.
  Kept(Remake make, int depth) : again_(std::make_shared<Again>(Again{std::move(make), depth, Tensor()})) {}

  /// A value that is made again stays until the backward of the operation that gave it begins.
  [[nodiscard]] const Tensor& tensor() const;
  /// Whether keeping it takes no memory.
  [[nodiscard]] bool remade() const { return again_ != nullptr; }
  /// 0 for the tensor itself.
  [[nodiscard]] int depth() const { return remade() ? again_->depth : 0; }

 private:
  struct Again {
    Remake make;
    int depth;
    Tensor value;  // undefined until somebody asks
  };
  Tensor value_;
  std::shared_ptr<Again> again_;
};

/// A tensor with the history needed to differentiate it. Copies share both.
class Variable {
 public:
  Variable() = default;
  /// A constant: no gradient flows into it.
  explicit Variable(Tensor value) : value_(std::move(value)) {}
  Variable(Tensor value, NodePtr node) : value_(std::move(value)), node_(std::move(node)) {}
  /// A differentiable input; its gradient, of the value's type, is gradient() after backward.
  static Variable leaf(Tensor value);
  /// A differentiable input whose gradient is written to `gradient`, memory that outlives the step. `value`
  /// may have a shorter type than the gradient (bfloat16 weights with float32 gradients).
  static Variable leaf(Tensor value, Tensor gradient);

  [[nodiscard]] bool defined() const { return value_.defined(); }
  [[nodiscard]] const Tensor& value() const { return value_; }
  /// The value for a backward to capture.
  [[nodiscard]] Kept kept() const;
  [[nodiscard]] const NodePtr& node() const { return node_; }
  [[nodiscard]] bool requires_grad() const { return node_ != nullptr; }
  [[nodiscard]] const Shape& shape() const { return value_.shape(); }
  [[nodiscard]] DType dtype() const { return value_.dtype(); }
  /// The accumulated gradient; undefined when none arrived.
  [[nodiscard]] Tensor gradient() const;
  /// The same value without history.
  [[nodiscard]] Variable detach() const { return Variable(value_); }

 private:
  Tensor value_;
  NodePtr node_;
};

/// One recorded operation, or a leaf (no inputs, no backward).
class Node {
 public:
  static constexpr std::uint64_t never = std::numeric_limits<std::uint64_t>::max();

  Node(Shape shape, DType gradient_type) : shape_(shape), gradient_type_(gradient_type) {}

  [[nodiscard]] const Shape& shape() const { return shape_; }
  [[nodiscard]] std::uint64_t order() const { return order_; }
  [[nodiscard]] bool is_leaf() const { return !backward_; }
  /// Whether anything was written to the gradient since it was last cleared.
  [[nodiscard]] bool has_gradient() const { return filled_; }
  [[nodiscard]] const Tensor& gradient() const { return gradient_; }
  /// Forgets the gradient's content; memory given to leaf() stays.
  void clear_gradient();
  /// The gradient, undefined when none arrived; the node forgets it, and the memory it was written to.
  [[nodiscard]] Tensor take_gradient();
  /// Memory of the gradient's shape and type for backward to write to, until take_gradient().
  void lend_gradient(const Tensor& memory);
  /// Order of the earliest operation that used this leaf since clear_uses(): once backward has passed it, the
  /// leaf's gradient is complete.
  [[nodiscard]] std::uint64_t first_use() const { return first_use_; }
  void clear_uses() { first_use_ = never; }

 private:
  friend class Variable;
  friend class GradientSlot;
  friend Variable record(Tensor, std::initializer_list<Variable>, Backward, Remake);
  friend Variable record(Tensor, const std::vector<Variable>&, Backward, Remake);
  friend void backward(const Variable&, const Tensor&);
  friend void pass_gradient(const NodePtr&, const Tensor&);

  Shape shape_;
  DType gradient_type_;
  std::uint64_t order_ = 0;
  std::uint64_t first_use_ = never;
  Tensor gradient_;
  bool external_ = false;  // the gradient's memory belongs to somebody else
  bool filled_ = false;
  std::vector<NodePtr> inputs_;
  Backward backward_;
  Kept result_;  // when it can be made again
};

/// Where a backward writes the gradient of one input. When `accumulate` is false the memory is
/// uninitialised and must be overwritten, else the contribution is added. False as a condition when the
/// input needs no gradient. Taking a slot promises to fill it.
class GradientSlot {
 public:
  explicit GradientSlot(const NodePtr& node);
  explicit operator bool() const { return tensor.defined(); }
  Tensor tensor;
  bool accumulate = false;
};

/// Makes `value` the result of an operation on `inputs`: it gets a history when gradients are being
/// recorded and an input requires one. `backward` should capture only the values it needs, as
/// Variable::kept() gives them. `remake`, for operations that are cheap next to the memory of their result,
/// makes that result again; it should capture nothing large that `backward` does not.
[[nodiscard]] Variable record(Tensor value, std::initializer_list<Variable> inputs, Backward backward,
                              Remake remake = nullptr);
[[nodiscard]] Variable record(Tensor value, const std::vector<Variable>& inputs, Backward backward,
                              Remake remake = nullptr);

/// Adds `gradient` to a node's gradient; takes the tensor over, without a copy, when it is the first
/// contribution and of the right type. The caller must not use the tensor afterwards.
void pass_gradient(const NodePtr& node, const Tensor& gradient);

/// Runs the recorded operations backwards from `output`, whose gradient is `seed` (same shape).
void backward(const Variable& output, const Tensor& seed);

/// While one lives on a thread, operations there record nothing.
class NoGradScope {
 public:
  explicit NoGradScope(bool no_grad = true);
  ~NoGradScope();
  NoGradScope(const NoGradScope&) = delete;
  NoGradScope& operator=(const NoGradScope&) = delete;

 private:
  bool previous_;
};
[[nodiscard]] bool grad_enabled();

/// Called after each operation's backward with its order: every leaf whose first_use() is not below it has
/// its full gradient. Used to start reductions while backward goes on. Empty to switch off.
using BackwardProgress = std::function<void(std::uint64_t order)>;
void set_backward_progress(BackwardProgress callback);

/// Takes the next number of the creation order without recording an operation.
[[nodiscard]] std::uint64_t next_order();

/// Runs `body` on `inputs` without saving what its backward needs, and runs it again when that comes.
/// `body` must be a pure function of its inputs and of parameters: it runs twice.
[[nodiscard]] Variable recompute(const std::function<Variable(const std::vector<Variable>&)>& body,
                                 const std::vector<Variable>& inputs);

}  // namespace tessera::ops
