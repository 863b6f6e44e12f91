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

// One of the packed parts of a projection: `width` columns of every token, from column `column` on.
struct Part {
  Tensor tensor;
  std::int64_t column = 0;

  [[nodiscard]] std::int64_t row_stride() const { return tensor.shape()[-1]; }
  [[nodiscard]] Tokens tokens() const { return {&tensor, row_stride(), column}; }
  [[nodiscard]] Rows rows() const { return {&tensor, row_stride(), column}; }
};

// Mean and reciprocal deviation of every row of one part.
struct Statistics {
  Tensor mean;
  Tensor rstd;
};

RowNormShape norm_shape(const Part& part, std::int64_t width, double eps) {
  return {part.tensor.numel() / part.row_stride(), width, eps};
}

// The normalised part in memory of its own.
Part normalised(const Part& part, std::int64_t width, double eps, Statistics& statistics) {
  const RowNormShape shape = norm_shape(part, width, eps);
  const DType type = part.tensor.dtype();
  const bool known = statistics.mean.defined();
  Part result{Tensor::empty({shape.rows, width}, type), 0};
  if (!known) {
    statistics.mean = Tensor::empty({shape.rows}, statistics_type(type));
    statistics.rstd = Tensor::empty({shape.rows}, statistics_type(type));
  }
  if (part.tensor.is_meta()) return result;
  if (known) {
    compute::row_norm_apply(shape, part.rows(), statistics.mean, statistics.rstd, result.rows());
  } else {
    compute::row_norm_forward(shape, part.rows(), result.rows(), statistics.mean, statistics.rstd);
  }
  return result;
}

// What one attention keeps between forward and backward.
struct Saved {
  AttentionShape shape;
  double norm_eps = 0;
  bool normalise = false;
  Part q, k, v;
  Statistics q_statistics, k_statistics;
  Tensor out, log_sum_exp;
};

std::shared_ptr<Saved> forward(const Part& q, const Part& k, const Part& v, std::int64_t width,
                               const AttentionOptions& options) {
  if (options.heads <= 0 || width % options.heads != 0) {
    throw Error("attention cannot split a width of " + std::to_string(width) + " into " +
                std::to_string(options.heads) + " heads");
  }
  auto saved = std::make_shared<Saved>();
  const Shape& queries = q.tensor.shape();
  const std::int64_t head_dim = width / options.heads;
  saved->shape = {queries[0],          options.heads, queries[1],
                  k.tensor.shape()[1], head_dim,      1 / std::sqrt(static_cast<double>(head_dim))};
  saved->norm_eps = options.norm_eps;
  saved->normalise = options.normalise_qk;
  saved->q = q;
  saved->k = k;
  saved->v = v;
  const DType type = q.tensor.dtype();
  saved->out = Tensor::empty({queries[0], queries[1], width}, type);
  saved->log_sum_exp = Tensor::empty({queries[0], options.heads, queries[1]}, statistics_type(type));
  Part used_q = q;
  Part used_k = k;
  if (options.normalise_qk) {
    used_q = normalised(q, width, options.norm_eps, saved->q_statistics);
    used_k = normalised(k, width, options.norm_eps, saved->k_statistics);
  }
  compute::attention_forward(saved->shape, used_q.tokens(), used_k.tokens(), v.tokens(),
                             Part{saved->out, 0}.tokens(), saved->log_sum_exp);
  return saved;
}

// Overwrites the three gradients.
void backward(Saved& saved, const Tensor& out_gradient, const Part& q_gradient, const Part& k_gradient,
              const Part& v_gradient) {
  const std::int64_t width = saved.shape.heads * saved.shape.head_dim;
  Part used_q = saved.q;
  Part used_k = saved.k;
  if (saved.normalise) {
    // Recomputed rather than kept: a pass over two thirds of the projection against holding them all step.
    used_q = normalised(saved.q, width, saved.norm_eps, saved.q_statistics);
    used_k = normalised(saved.k, width, saved.norm_eps, saved.k_statistics);
  }
  const Part out{saved.out, 0};
  const Part gradient{out_gradient, 0};
  compute::attention_backward(saved.shape, used_q.tokens(), used_k.tokens(), saved.v.tokens(), out.tokens(),
                              saved.log_sum_exp, gradient.tokens(), q_gradient.tokens(), k_gradient.tokens(),
                              v_gradient.tokens());
  if (!saved.normalise || q_gradient.tensor.is_meta()) return;
  compute::row_norm_backward(norm_shape(q_gradient, width, saved.norm_eps), used_q.rows(),
                             saved.q_statistics.rstd, q_gradient.rows(), q_gradient.rows());
  compute::row_norm_backward(norm_shape(k_gradient, width, saved.norm_eps), used_k.rows(),
                             saved.k_statistics.rstd, k_gradient.rows(), k_gradient.rows());
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
  return record(saved->out, {qkv}, [saved, node, width](const Tensor& gradient) {
    const Target target(node, saved->q.tensor);
    const Tensor& packed_gradient = target.tensor();
    backward(*saved, gradient, {packed_gradient, 0}, {packed_gradient, width}, {packed_gradient, 2 * width});
    target.finish();
  });
}

Variable cross_attention(const Variable& q, const Variable& kv, const AttentionOptions& options) {
  expect_rank_3(q, "q");
  expect_rank_3(kv, "kv");
  const std::int64_t width = q.shape()[-1];
  if (kv.shape()[-1] != 2 * width || kv.shape()[0] != q.shape()[0] || kv.dtype() != q.dtype()) {
    throw Error("cross-attention cannot use kv " + kv.shape().to_string() + " with q " +
                q.shape().to_string());
  }
  const auto saved = forward({q.value(), 0}, {kv.value(), 0}, {kv.value(), width}, width, options);
  const NodePtr q_node = q.node();
  const NodePtr kv_node = kv.node();
  return record(saved->out, {q, kv}, [saved, q_node, kv_node, width](const Tensor& gradient) {
    const Target q_target(q_node, saved->q.tensor);
    const Target kv_target(kv_node, saved->k.tensor);
    backward(*saved, gradient, {q_target.tensor(), 0}, {kv_target.tensor(), 0}, {kv_target.tensor(), width});
    q_target.finish();
    kv_target.finish();
  });
}

}  // namespace tessera::ops
