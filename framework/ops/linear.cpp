#include "ops/linear.hpp"

#include "compute/matmul.hpp"
#include "ops/accumulate.hpp"
#include "ops/column_sum.hpp"

namespace tessera::ops {
namespace {

using compute::as_matrix;
using compute::Matrices;
using compute::Transpose;

Shape with_last(const Shape& shape, std::int64_t extent) {
  Shape changed(shape.begin(), shape.end() - 1);
  changed.append(extent);
  return changed;
}

void check_linear(const Variable& x, const Variable& weight, const Variable& bias) {
  if (weight.shape().rank() != 2 || x.shape().rank() == 0 || x.shape()[-1] != weight.shape()[1]) {
    throw Error("a linear layer with weight " + weight.shape().to_string() + " [out, in] got an input " +
                x.shape().to_string());
  }
  if (x.dtype() != weight.dtype()) {
    throw Error(std::string("a linear layer with a weight of ") + name_of(weight.dtype()) +
                " got an input of " + name_of(x.dtype()));
  }
  if (bias.defined() && bias.value().numel() != weight.shape()[0]) {
    throw Error("a linear layer with weight " + weight.shape().to_string() + " [out, in] has a bias " +
                bias.shape().to_string());
  }
}

/// A tensor [groups, ..., columns] as one matrix per group.
Matrices as_groups(const Tensor& tensor) {
  const std::int64_t groups = tensor.shape()[0];
  const std::int64_t columns = tensor.shape()[-1];
  const Shape& shape = tensor.shape();
  std::int64_t rows = 1;
  for (std::size_t i = 1; i + 1 < shape.rank(); ++i) rows *= shape[static_cast<int>(i)];
  return {&tensor, rows, columns, columns, groups > 1 ? rows * columns : 0, 0};
}

}  // namespace

Variable linear(const Variable& x, const Variable& weight, const Variable& bias) {
  return linear(x, weight, bias, x.dtype());
}

Variable linear(const Variable& x, const Variable& weight, const Variable& bias, DType result_type) {
  check_linear(x, weight, bias);
  const Tensor y = Tensor::empty(with_last(x.shape(), weight.shape()[0]), result_type);
  compute::matmul(as_matrix(x.value()), Transpose::no, as_matrix(weight.value()), Transpose::yes,
                  as_matrix(y), 1, false, bias.value());
  // Each operand is needed only for the gradient of the other.
  const Kept saved_x = weight.requires_grad() ? x.kept() : Kept();
  const Tensor saved_weight = x.requires_grad() ? weight.value() : Tensor();
  return record(y, {x, weight, bias},
                [saved_x, saved_weight, type = x.dtype(), x_node = x.node(), weight_node = weight.node(),
                 bias_node = bias.node()](const Tensor& output_gradient) {
                  // A float32 result of bfloat16 factors goes back in their type, which the products need.
                  const Tensor gradient = converted(output_gradient, type);
                  if (const GradientSlot slot(x_node); slot) {
                    compute::matmul(as_matrix(gradient), Transpose::no, as_matrix(saved_weight),
                                    Transpose::no, as_matrix(slot.tensor), 1, slot.accumulate);
                  }
                  if (const GradientSlot slot(weight_node); slot) {
                    compute::matmul(as_matrix(gradient), Transpose::yes, as_matrix(saved_x.tensor()),
                                    Transpose::no, as_matrix(slot.tensor), 1, slot.accumulate);
                  }
                  if (const GradientSlot slot(bias_node); slot) {
                    sum_columns(output_gradient, slot.tensor, slot.accumulate);
                  }
                });
}

Variable grouped_linear(const Variable& x, const Variable& weight) {
  if (weight.shape().rank() != 3 || x.shape().rank() < 2 || x.shape()[0] != weight.shape()[0] ||
      x.shape()[-1] != weight.shape()[1]) {
    throw Error("a grouped linear layer with weight " + weight.shape().to_string() +
                " [groups, in, out] got an input " + x.shape().to_string());
  }
  const std::int64_t groups = weight.shape()[0];
  const Tensor y = Tensor::empty(with_last(x.shape(), weight.shape()[2]), x.dtype());
  compute::matmul(as_groups(x.value()), Transpose::no, as_groups(weight.value()), Transpose::no, as_groups(y),
                  groups, false);
  const Kept saved_x = weight.requires_grad() ? x.kept() : Kept();
  const Tensor saved_weight = x.requires_grad() ? weight.value() : Tensor();
  return record(y, {x, weight},
                [saved_x, saved_weight, groups, x_node = x.node(),
                 weight_node = weight.node()](const Tensor& gradient) {
                  if (const GradientSlot slot(x_node); slot) {
                    compute::matmul(as_groups(gradient), Transpose::no, as_groups(saved_weight),
                                    Transpose::yes, as_groups(slot.tensor), groups, slot.accumulate);
                  }
                  if (const GradientSlot slot(weight_node); slot) {
                    compute::matmul(as_groups(saved_x.tensor()), Transpose::yes, as_groups(gradient),
                                    Transpose::no, as_groups(slot.tensor), groups, slot.accumulate);
                  }
                });
}

}  // namespace tessera::ops
