#include "compute/attention.hpp"

#include "base/error.hpp"
#include "compute/attention_kernels.hpp"
#include "compute/cost.hpp"

namespace tessera::compute {

#ifdef TESSERA_CUDA
namespace implementation = portable;
#else
namespace implementation = host;
#endif

namespace {

void expect(bool fits, const char* what, const AttentionShape& shape) {
  if (fits) return;
  throw Error(std::string("attention: ") + what + " (batch " + std::to_string(shape.batch) + ", heads " +
              std::to_string(shape.heads) + ", queries " + std::to_string(shape.queries) + ", keys " +
              std::to_string(shape.keys) + ", head_dim " + std::to_string(shape.head_dim) + ")");
}

void expect_tokens(const Tokens& tokens, std::int64_t rows, const AttentionShape& shape, DType type) {
  const std::int64_t width = shape.heads * shape.head_dim;
  expect(tokens.tensor != nullptr && tokens.tensor->dtype() == type,
         "every operand must have the type of the queries", shape);
  const std::int64_t end = tokens.offset + (rows - 1) * tokens.row_stride + width;
  expect(tokens.row_stride >= width && tokens.offset >= 0 && end <= tokens.tensor->numel(),
         "an operand's rows do not lie inside its tensor", shape);
  for (const Tensor* statistics : {tokens.mean, tokens.rstd}) {
    expect(
        (statistics != nullptr) == (tokens.mean != nullptr) &&
            (statistics == nullptr || statistics->numel() == (tokens.each_head ? rows * shape.heads : rows)),
        "row statistics must be two values for every token, or for every head of it", shape);
  }
}

void expect_log_sum_exp(const Tensor& log_sum_exp, const AttentionShape& shape, DType type) {
  expect(log_sum_exp.numel() == shape.batch * shape.heads * shape.queries &&
             log_sum_exp.dtype() == (type == DType::f64 ? DType::f64 : DType::f32),
         "log_sum_exp has the wrong size or type", shape);
}

// Queries without keys have no softmax; without queries or images there is nothing to do.
bool anything_to_do(const AttentionShape& shape) {
  expect(shape.batch >= 0 && shape.heads > 0 && shape.queries >= 0 && shape.keys > 0 && shape.head_dim > 0,
         "extents must be positive", shape);
  expect(shape.scale > 0, "the scale must be positive", shape);
  if (!shape.key_offsets.empty()) {
    expect(static_cast<std::int64_t>(shape.key_offsets.size()) == shape.batch + 1 &&
               shape.key_offsets.front() == 0 && shape.key_offsets.back() == shape.keys,
           "the offsets of packed keys must begin at 0, end at the number of keys, and be one more than the "
           "images",
           shape);
    for (std::int64_t image = 0; image < shape.batch; ++image) {
      expect(shape.keys_of(image) > 0, "every image needs a key", shape);
    }
  }
  return shape.batch > 0 && shape.queries > 0;
}

double product_flops(const AttentionShape& shape) {
  return 2.0 * static_cast<double>(shape.key_rows()) * static_cast<double>(shape.heads) *
         static_cast<double>(shape.queries) *
         static_cast<double>(shape.head_dim);
}

}  // namespace

void attention_forward(const AttentionShape& shape, const Tokens& q, const Tokens& k, const Tokens& v,
                       const Tokens& out, const Tensor& log_sum_exp) {
  if (!anything_to_do(shape)) return;
  const DType type = q.tensor->dtype();
  expect_tokens(q, shape.batch * shape.queries, shape, type);
  expect_tokens(k, shape.key_rows(), shape, type);
  expect_tokens(v, shape.key_rows(), shape, type);
  expect_tokens(out, shape.batch * shape.queries, shape, type);
  expect_log_sum_exp(log_sum_exp, shape, type);
  add_attention_flops(2 * product_flops(shape));
  if (out.tensor->is_meta()) return;
  implementation::attention_forward(shape, q, k, v, out, log_sum_exp);
}

void attention_backward(const AttentionShape& shape, const Tokens& q, const Tokens& k, const Tokens& v,
                        const Tokens& out, const Tensor& log_sum_exp, const Tokens& out_gradient,
                        const Tokens& q_gradient, const Tokens& k_gradient, const Tokens& v_gradient) {
  if (!anything_to_do(shape)) return;
  const DType type = q.tensor->dtype();
  for (const Tokens* tokens : {&q, &out, &out_gradient, &q_gradient}) {
    expect_tokens(*tokens, shape.batch * shape.queries, shape, type);
  }
  for (const Tokens* tokens : {&k, &v, &k_gradient, &v_gradient}) {
    expect_tokens(*tokens, shape.key_rows(), shape, type);
  }
  expect_log_sum_exp(log_sum_exp, shape, type);
  add_attention_flops(5 * product_flops(shape));
  if (q_gradient.tensor->is_meta()) return;
  implementation::attention_backward(shape, q, k, v, out, log_sum_exp, out_gradient, q_gradient, k_gradient,
                                     v_gradient);
}

}  // namespace tessera::compute
