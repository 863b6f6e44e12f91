// Invariant: no two work items write the same element, so there are no atomics and the sums have one order.

#include <cmath>

#include "base/error.hpp"
#include "compute/attention_kernels.hpp"
#include "compute/math.hpp"
#include "compute/parallel.hpp"

namespace tessera::compute::portable {
namespace {

// One head of one token as it enters the products.
template <class T>
struct Row {
  using A = arithmetic_t<T>;
  const T* data;
  A mean;
  A rstd;
  KOKKOS_INLINE_FUNCTION A operator[](std::size_t d) const { return (static_cast<A>(data[d]) - mean) * rstd; }
};

// A Tokens resolved to pointers and strides.
template <class T>
struct Heads {
  using A = arithmetic_t<T>;
  T* data;
  std::size_t tokens;           // of every image, unless they lie packed
  const std::int64_t* offsets;  // of packed images: first tokens; else null
  std::size_t row_stride;
  std::size_t head_dim;
  const A* mean;
  const A* rstd;
  std::size_t statistics;  // of a row: one, or one of each head

  KOKKOS_INLINE_FUNCTION std::size_t first(std::size_t image) const {
    return offsets == nullptr ? image * tokens : static_cast<std::size_t>(offsets[image]);
  }
  KOKKOS_INLINE_FUNCTION std::size_t count(std::size_t image) const {
    return first(image + 1) - first(image);
  }
  // Of a row of packed images.
  KOKKOS_INLINE_FUNCTION std::size_t image_of(std::size_t row) const {
    if (offsets == nullptr) return row / tokens;
    std::size_t image = 0;
    while (static_cast<std::size_t>(offsets[image + 1]) <= row) ++image;
    return image;
  }
  KOKKOS_INLINE_FUNCTION T* place(std::size_t image, std::size_t head, std::size_t token) const {
    return data + (first(image) + token) * row_stride + head * head_dim;
  }
  KOKKOS_INLINE_FUNCTION Row<T> row(std::size_t image, std::size_t head, std::size_t token) const {
    const std::size_t n = (first(image) + token) * statistics + head % statistics;
    return {place(image, head, token), mean == nullptr ? A(0) : mean[n], mean == nullptr ? A(1) : rstd[n]};
  }
};

template <class T>
Heads<T> resolve(const Tokens& tokens, std::int64_t count, const Tensor& offsets,
                 const AttentionShape& shape) {
  using A = arithmetic_t<T>;
  return {tokens.tensor->data<T>() + tokens.offset,
          static_cast<std::size_t>(count),
          offsets.defined() ? offsets.data<std::int64_t>() : nullptr,
          static_cast<std::size_t>(tokens.row_stride),
          static_cast<std::size_t>(shape.head_dim),
          tokens.mean == nullptr ? nullptr : tokens.mean->data<A>(),
          tokens.mean == nullptr ? nullptr : tokens.rstd->data<A>(),
          tokens.each_head ? static_cast<std::size_t>(shape.heads) : 1};
}

template <class T>
Heads<T> resolve_queries(const Tokens& tokens, const AttentionShape& shape) {
  return resolve<T>(tokens, shape.queries, Tensor(), shape);
}

// The offsets of packed keys where kernels can read them; undefined when every image has as many.
Tensor device_offsets(const AttentionShape& shape) {
  if (shape.key_offsets.empty()) return {};
  return Tensor::from_host(shape.key_offsets, {shape.batch + 1});
}

template <class T>
KOKKOS_INLINE_FUNCTION arithmetic_t<T> dot(const Row<T>& a, const Row<T>& b, std::size_t count) {
  arithmetic_t<T> sum = 0;
  for (std::size_t i = 0; i < count; ++i) sum += a[i] * b[i];
  return sum;
}

template <class T>
void forward(const AttentionShape& shape, const Tokens& q_tokens, const Tokens& k_tokens,
             const Tokens& v_tokens, const Tokens& out_tokens, const Tensor& log_sum_exp) {
  using A = arithmetic_t<T>;
  const Tensor offsets = device_offsets(shape);
  const auto q = resolve_queries<T>(q_tokens, shape);
  const auto k = resolve<T>(k_tokens, shape.keys, offsets, shape);
  const auto v = resolve<T>(v_tokens, shape.keys, offsets, shape);
  const auto out = resolve_queries<T>(out_tokens, shape);
  A* lse = log_sum_exp.data<A>();
  const std::size_t heads = static_cast<std::size_t>(shape.heads);
  const std::size_t queries = q.tokens;
  const A scale = static_cast<A>(shape.scale);
  parallel_elements(
      shape.batch * shape.heads * shape.queries, KOKKOS_LAMBDA(std::size_t item) {
        const std::size_t n = item % queries;
        const std::size_t head = item / queries % heads;
        const std::size_t image = item / queries / heads;
        const Row<T> query = q.row(image, head, n);
        A sums[max_head_dim];
        for (std::size_t d = 0; d < q.head_dim; ++d) sums[d] = 0;
        A largest = scale * dot(query, k.row(image, head, 0), q.head_dim);
        A total = 0;
        for (std::size_t j = 0; j < k.count(image); ++j) {
          const A score = scale * dot(query, k.row(image, head, j), q.head_dim);
          const Row<T> value = v.row(image, head, j);
          if (score > largest) {
            const A shrink = math::exp(largest - score);
            total *= shrink;
            for (std::size_t d = 0; d < q.head_dim; ++d) sums[d] *= shrink;
            largest = score;
          }
          const A weight = math::exp(score - largest);
          total += weight;
          for (std::size_t d = 0; d < q.head_dim; ++d) sums[d] += weight * value[d];
        }
        T* result = out.place(image, head, n);
        for (std::size_t d = 0; d < q.head_dim; ++d) result[d] = T(sums[d] / total);
        lse[item] = largest + static_cast<A>(::log(static_cast<double>(total)));
      });
}

// The factor of the score gradient: P (dP - sum(out dOut)) for one query and key.
template <class T>
struct Scores {
  Heads<T> q, k, v, out, out_gradient;
  const arithmetic_t<T>* lse;
  arithmetic_t<T> scale;
  std::size_t heads;

  KOKKOS_INLINE_FUNCTION arithmetic_t<T> weight(std::size_t image, std::size_t head, std::size_t n,
                                                std::size_t j) const {
    const auto score = scale * dot(q.row(image, head, n), k.row(image, head, j), q.head_dim);
    return math::exp(score - lse[(image * heads + head) * q.tokens + n]);
  }
  KOKKOS_INLINE_FUNCTION arithmetic_t<T> mean_gradient(std::size_t image, std::size_t head,
                                                       std::size_t n) const {
    return dot(out.row(image, head, n), out_gradient.row(image, head, n), q.head_dim);
  }
  KOKKOS_INLINE_FUNCTION arithmetic_t<T> weight_gradient(std::size_t image, std::size_t head, std::size_t n,
                                                         std::size_t j) const {
    return dot(out_gradient.row(image, head, n), v.row(image, head, j), q.head_dim);
  }
};

template <class T>
void backward_queries(const AttentionShape& shape, const Scores<T>& scores, const Heads<T>& q_gradient) {
  using A = arithmetic_t<T>;
  const std::size_t heads = scores.heads;
  const std::size_t queries = scores.q.tokens;
  const std::size_t head_dim = scores.q.head_dim;
  parallel_elements(
      shape.batch * shape.heads * shape.queries, KOKKOS_LAMBDA(std::size_t item) {
        const std::size_t n = item % queries;
        const std::size_t head = item / queries % heads;
        const std::size_t image = item / queries / heads;
        A sums[max_head_dim];
        for (std::size_t d = 0; d < head_dim; ++d) sums[d] = 0;
        const A mean = scores.mean_gradient(image, head, n);
        for (std::size_t j = 0; j < scores.k.count(image); ++j) {
          const A factor =
              scores.weight(image, head, n, j) * (scores.weight_gradient(image, head, n, j) - mean);
          const Row<T> key = scores.k.row(image, head, j);
          for (std::size_t d = 0; d < head_dim; ++d) sums[d] += factor * key[d];
        }
        T* result = q_gradient.place(image, head, n);
        for (std::size_t d = 0; d < head_dim; ++d) result[d] = T(scores.scale * sums[d]);
      });
}

template <class T>
void backward_keys(const AttentionShape& shape, const Scores<T>& scores, const Heads<T>& k_gradient,
                   const Heads<T>& v_gradient) {
  using A = arithmetic_t<T>;
  const std::size_t heads = scores.heads;
  const std::size_t head_dim = scores.q.head_dim;
  parallel_elements(
      shape.key_rows() * shape.heads, KOKKOS_LAMBDA(std::size_t item) {
        const std::size_t head = item % heads;
        const std::size_t image = scores.k.image_of(item / heads);
        const std::size_t j = item / heads - scores.k.first(image);
        A key_sums[max_head_dim];
        A value_sums[max_head_dim];
        for (std::size_t d = 0; d < head_dim; ++d) key_sums[d] = value_sums[d] = 0;
        for (std::size_t n = 0; n < scores.q.tokens; ++n) {
          const A weight = scores.weight(image, head, n, j);
          const A factor =
              weight * (scores.weight_gradient(image, head, n, j) - scores.mean_gradient(image, head, n));
          const Row<T> query = scores.q.row(image, head, n);
          const Row<T> gradient = scores.out_gradient.row(image, head, n);
          for (std::size_t d = 0; d < head_dim; ++d) {
            key_sums[d] += factor * query[d];
            value_sums[d] += weight * gradient[d];
          }
        }
        T* key_result = k_gradient.place(image, head, j);
        T* value_result = v_gradient.place(image, head, j);
        for (std::size_t d = 0; d < head_dim; ++d) {
          key_result[d] = T(scores.scale * key_sums[d]);
          value_result[d] = T(value_sums[d]);
        }
      });
}

void expect_head_dim(const AttentionShape& shape) {
  if (shape.head_dim > max_head_dim) {
    throw Error("attention heads of " + std::to_string(shape.head_dim) + " elements are too wide",
                "compute::attention", "use a head_dim of at most " + std::to_string(max_head_dim));
  }
}

}  // namespace

void attention_forward(const AttentionShape& shape, const Tokens& q, const Tokens& k, const Tokens& v,
                       const Tokens& out, const Tensor& log_sum_exp) {
  expect_head_dim(shape);
  dispatch_floating(q.tensor->dtype(), [&]<class T>(T) { forward<T>(shape, q, k, v, out, log_sum_exp); });
}

void attention_backward(const AttentionShape& shape, const Tokens& q, const Tokens& k, const Tokens& v,
                        const Tokens& out, const Tensor& log_sum_exp, const Tokens& out_gradient,
                        const Tokens& q_gradient, const Tokens& k_gradient, const Tokens& v_gradient) {
  expect_head_dim(shape);
  dispatch_floating(q.tensor->dtype(), [&]<class T>(T) {
    const Tensor offsets = device_offsets(shape);
    const Scores<T> scores{resolve_queries<T>(q, shape),
                           resolve<T>(k, shape.keys, offsets, shape),
                           resolve<T>(v, shape.keys, offsets, shape),
                           resolve_queries<T>(out, shape),
                           resolve_queries<T>(out_gradient, shape),
                           log_sum_exp.data<arithmetic_t<T>>(),
                           static_cast<arithmetic_t<T>>(shape.scale),
                           static_cast<std::size_t>(shape.heads)};
    backward_queries(shape, scores, resolve_queries<T>(q_gradient, shape));
    backward_keys(shape, scores, resolve<T>(k_gradient, shape.keys, offsets, shape),
                  resolve<T>(v_gradient, shape.keys, offsets, shape));
  });
}

}  // namespace tessera::compute::portable
