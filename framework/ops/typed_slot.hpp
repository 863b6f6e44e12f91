#pragma once
// Invariant: a kernel sees the gradient memory in the element type it computes in; when the node keeps its
// gradient in another type, the kernel's result is converted into it by commit().

#include "ops/accumulate.hpp"
#include "ops/graph.hpp"

namespace tessera::ops {

/// A GradientSlot for a kernel that writes elements of `type`. False as a condition when the input needs no
/// gradient. commit() must follow the kernel.
class TypedSlot {
 public:
  TypedSlot(const NodePtr& node, DType type) : slot_(node) {
    if (!slot_) return;
    if (slot_.tensor.dtype() == type) {
      tensor_ = slot_.tensor;
      accumulate_ = slot_.accumulate;
    } else {
      tensor_ = Tensor::empty(slot_.tensor.shape(), type);
    }
  }
  explicit operator bool() const { return static_cast<bool>(slot_); }
  [[nodiscard]] const Tensor& tensor() const { return tensor_; }
  [[nodiscard]] bool accumulate() const { return accumulate_; }
  /// The elements; null when the input needs no gradient or has no memory.
  template <class T>
  [[nodiscard]] T* data() const {
    return tensor_.defined() ? tensor_.data<T>() : nullptr;
  }
  void commit() const {
    if (slot_ && tensor_.dtype() != slot_.tensor.dtype()) add_into(tensor_, slot_.tensor, slot_.accumulate);
  }
  /// For a contribution that covers some elements only: zeros what nobody has written yet. From then on the
  /// kernel adds.
  void make_additive() {
    if (!slot_ || accumulate_) return;
    tensor_.fill_zero();
    accumulate_ = true;
  }

 private:
  GradientSlot slot_;
  Tensor tensor_;
  bool accumulate_ = false;
};

}  // namespace tessera::ops
