#pragma once
// Invariant: the scores of one image and head never leave the cache: a tile of them is made, used and
// dropped; only the log-sum-exp of each query row is kept for backward.

#include <cstdint>
#include <vector>

#include "tensor/tensor.hpp"

namespace tessera::compute {

/// Where queries, keys or values lie: row n (token by token, image by image) at data + offset + n*row_stride,
/// each holding heads x head_dim consecutive elements. Lets packed projections be used in place.
struct Tokens {
  const Tensor* tensor = nullptr;
  std::int64_t row_stride = 0;
  std::int64_t offset = 0;
  /// For queries and keys that enter as (x - mean) rstd: the statistics of each row, [rows], or of each head
  /// of it, [rows, heads], of the type of log_sum_exp; both or neither.
  const Tensor* mean = nullptr;
  const Tensor* rstd = nullptr;
  bool each_head = false;
};

struct AttentionShape {
  std::int64_t batch = 0;
  std::int64_t heads = 0;
  std::int64_t queries = 0;  ///< query tokens per image
  std::int64_t keys = 0;     ///< key tokens per image; with key_offsets, of all images together
  std::int64_t head_dim = 0;
  double scale = 1;  ///< softmax(scale q k^T) v
  /// Images with unequal numbers of keys lie packed: those of image b are the rows [key_offsets[b],
  /// key_offsets[b + 1]) of k and v, at least one each. Empty: `keys` rows each.
  std::vector<std::int64_t> key_offsets = {};

  [[nodiscard]] std::int64_t first_key(std::int64_t image) const {
    return key_offsets.empty() ? image * keys : key_offsets[static_cast<std::size_t>(image)];
  }
  [[nodiscard]] std::int64_t keys_of(std::int64_t image) const {
    return key_offsets.empty() ? keys : first_key(image + 1) - first_key(image);
  }
  /// Rows of k and v.
  [[nodiscard]] std::int64_t key_rows() const { return key_offsets.empty() ? batch * keys : keys; }
};

/// out = softmax(scale q k^T) v per image and head; log_sum_exp is [batch, heads, queries], float32 (float64
/// for float64 inputs). Softmax arithmetic is at least float32.
void attention_forward(const AttentionShape& shape, const Tokens& q, const Tokens& k, const Tokens& v,
                       const Tokens& out, const Tensor& log_sum_exp);

/// Gradients of q, k and v as they enter the scores, that is normalised where they have statistics (each
/// overwritten), from the saved inputs, output and log_sum_exp.
void attention_backward(const AttentionShape& shape, const Tokens& q, const Tokens& k, const Tokens& v,
                        const Tokens& out, const Tensor& log_sum_exp, const Tokens& out_gradient,
                        const Tokens& q_gradient, const Tokens& k_gradient, const Tokens& v_gradient);

}  // namespace tessera::compute
