#include "ops/attention.hpp"

#include <cmath>
#include <memory>

#include "base/error.hpp"
#include "compute/attention.hpp"
#include "compute/row_norm.hpp"
#include "ops/accumulate.hpp"

namespace tessera::ops {
namespace {

using compute::AttentionShape;
using compute::RowNormShape;
using compute::Rows;
using compute::Tokens;

DType statistics_type(DType type) { return type == DType::f64 ? DType::f64 : DType::f32; }

// Mean and reciprocal deviation of every row of a part, or of every head of it; undefined where the part is
// used as it is.
struct Statistics {
  Tensor mean;
  Tensor rstd;
  std::int64_t groups = 1;  // one, or the heads
};

// One of the packed parts of a projection: `width` columns of every token, from column `column` on.
struct Part {
  Tensor tensor;
  std::int64_t column = 0;
  Statistics statistics = {};

  [[nodiscard]] std::int64_t row_stride() const { return tensor.shape()[-1]; }
  [[nodiscard]] Tokens tokens() const {
    const bool plain = !statistics.mean.defined();
    return {&tensor,
            row_stride(),
            column,
            plain ? nullptr : &statistics.mean,
            plain ? nullptr : &statistics.rstd,
            statistics.groups > 1};
  }
  [[nodiscard]] Rows rows() const { return {&tensor, row_stride(), column}; }
};

RowNormShape norm_shape(const Part& part, std::int64_t width, double eps, std::int64_t groups) {
  return {part.tensor.numel() / part.row_stride(), width / groups, eps, groups};
}

// The part with the statistics under which the attention itself normalises it: no normalised copy is made,
// forward or backward.
Part normalised(const Part& part, std::int64_t width, const AttentionOptions& options) {
  const std::int64_t groups = options.norm_each_head ? options.heads : 1;
  const RowNormShape shape = norm_shape(part, width, options.norm_eps, groups);
  const DType type = statistics_type(part.tensor.dtype());
  const Shape values{shape.rows, groups};
  Part result{part.tensor, part.column, {Tensor::empty(values, type), Tensor::empty(values, type), groups}};
  if (!result.statistics.mean.is_meta()) {
    compute::row_statistics(shape, part.rows(), result.statistics.mean, result.statistics.rstd);
  }
  return result;
}

// What one attention keeps between forward and backward.
struct Saved {
  AttentionShape shape;
  Part q, k, v, out;
  Tensor log_sum_exp;
};

std::shared_ptr<Saved> forward(const Part& q, const Part& k, const Part& v, std::int64_t width,
                               const AttentionOptions& options,
                               const std::vector<std::int64_t>& key_offsets = {}) {
  if (options.heads <= 0 || width % options.heads != 0) {
    throw Error("attention cannot split a width of " + std::to_string(width) + " into " +
                std::to_string(options.heads) + " heads");
  }
  auto saved = std::make_shared<Saved>();
  const Shape& queries = q.tensor.shape();
  const DType type = q.tensor.dtype();
  const std::int64_t head_dim = width / options.heads;
  saved->shape = {.batch = queries[0],
                  .heads = options.heads,
                  .queries = queries[1],
                  .keys = k.tensor.shape()[-2],
                  .head_dim = head_dim,
                  .scale = 1 / std::sqrt(static_cast<double>(head_dim)),
                  .key_offsets = key_offsets};
  saved->q = options.normalise_qk ? normalised(q, width, options) : q;
  saved->k = options.normalise_qk ? normalised(k, width, options) : k;
  saved->v = v;
  saved->out = {Tensor::empty({queries[0], queries[1], width}, type), 0};
  saved->log_sum_exp = Tensor::empty({queries[0], options.heads, queries[1]}, statistics_type(type));
  compute::attention_forward(saved->shape, saved->q.tokens(), saved->k.tokens(), v.tokens(),
                             saved->out.tokens(), saved->log_sum_exp);
  return saved;
}

// From the gradient of the normalised part to that of the part, in place.
void norm_backward(const Part& part, std::int64_t width, const Part& gradient) {
  const auto& [mean, rstd, groups] = part.statistics;
  if (!mean.defined() || gradient.tensor.is_meta()) return;
  compute::row_norm_backward(norm_shape(part, width, 0, groups), part.rows(), mean, rstd, gradient.rows(),
                             gradient.rows());
}

// Overwrites the three gradients.
void backward(const Saved& saved, const Tensor& out_gradient, const Part& q_gradient, const Part& k_gradient,
              const Part& v_gradient) {
  const std::int64_t width = saved.shape.heads * saved.shape.head_dim;
  compute::attention_backward(saved.shape, saved.q.tokens(), saved.k.tokens(), saved.v.tokens(),
                              saved.out.tokens(), saved.log_sum_exp, Part{out_gradient, 0}.tokens(),
                              q_gradient.tokens(), k_gradient.tokens(), v_gradient.tokens());
  norm_backward(saved.q, width, q_gradient);
  norm_backward(saved.k, width, k_gradient);
}

// Memory for a gradient that the kernels overwrite: the input's own when nothing is there yet, else a
// separate one, added by finish(). An input without history gets scratch, since q and kv come together.
class Target {
 public:
  Target(const NodePtr& node, const Tensor& like) : slot_(node) {
    const bool direct = slot_ && !slot_.accumulate && slot_.tensor.dtype() == like.dtype();
    tensor_ = direct ? slot_.tensor.view(like.shape()) : Tensor::empty(like.shape(), like.dtype());
    direct_ = direct;
  }
  [[nodiscard]] const Tensor& tensor() const { return tensor_; }
  void finish() const {
    if (slot_ && !direct_) add_into(tensor_, slot_.tensor, slot_.accumulate);
  }

 private:
  GradientSlot slot_;
  Tensor tensor_;
  bool direct_ = false;
};

void expect_rank_3(const Variable& x, const char* name) {
  if (x.shape().rank() != 3) {
    throw Error(std::string("attention needs ") + name + " as [batch, tokens, width], not " +
                x.shape().to_string());
  }
}

}  // namespace

Variable self_attention(const Variable& qkv, const AttentionOptions& options) {
  expect_rank_3(qkv, "qkv");
  if (qkv.shape()[-1] % 3 != 0) {
    throw Error("self-attention needs q, k and v packed, not " + qkv.shape().to_string());
  }
  const std::int64_t width = qkv.shape()[-1] / 3;
  const Tensor& packed = qkv.value();
  const auto saved = forward({packed, 0}, {packed, width}, {packed, 2 * width}, width, options);
  const NodePtr node = qkv.node();
  return record(saved->out.tensor, {qkv}, [saved, node, width](const Tensor& gradient) {
    const Target target(node, saved->q.tensor);
    const Tensor& packed_gradient = target.tensor();
    backward(*saved, gradient, {packed_gradient, 0}, {packed_gradient, width}, {packed_gradient, 2 * width});
    target.finish();
  });
}

Variable cross_attention(const Variable& q, const Variable& kv, const std::vector<std::int64_t>& offsets,
                         const AttentionOptions& options) {
  expect_rank_3(q, "q");
  if (offsets.empty()) expect_rank_3(kv, "kv");
  const std::int64_t width = q.shape()[-1];
  if (kv.shape()[-1] != 2 * width || kv.dtype() != q.dtype() ||
      (offsets.empty() ? kv.shape()[0] != q.shape()[0] : kv.shape().rank() != 2)) {
    throw Error("cross-attention cannot use kv " + kv.shape().to_string() + " with q " +
                q.shape().to_string());
  }
  const auto saved = forward({q.value(), 0}, {kv.value(), 0}, {kv.value(), width}, width, options, offsets);
  const NodePtr q_node = q.node();
  const NodePtr kv_node = kv.node();
  return record(saved->out.tensor, {q, kv}, [saved, q_node, kv_node, width](const Tensor& gradient) {
    const Target q_target(q_node, saved->q.tensor);
    const Target kv_target(kv_node, saved->k.tensor);
    backward(*saved, gradient, {q_target.tensor(), 0}, {kv_target.tensor(), 0}, {kv_target.tensor(), width});
    q_target.finish();
    kv_target.finish();
  });
}

}  // namespace tessera::ops
