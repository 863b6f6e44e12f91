#pragma once
// Invariant: fixed embeddings are computed in float64 and rounded to float32 once, so that every precision
// of a run sees the same numbers.

#include "nn/layers.hpp"

namespace tessera::nn {

/// Two-dimensional sine-cosine positions [rows*columns, width]: the first half of the channels encodes the
/// column, the second the row, each as sines then cosines of u * 10000^(-j/(width/4)), where u(i) =
/// i / (n / base) / scale for n rows or columns; base 0 stands for n.
/// @throws Error when width is not a multiple of 4.
[[nodiscard]] std::vector<float> sincos_positions(std::int64_t rows, std::int64_t columns, std::int64_t width,
                                                  double scale, std::int64_t base = 0);

/// MLP(sinusoid(scalar)) of noise levels, sizes, ratios: "mlp.0", activation, "mlp.2".
class ScalarEmbedding : public Module {
 public:
  enum class Activation { gelu_tanh, silu };
  ScalarEmbedding(std::int64_t frequencies, std::int64_t width, Activation activation);
  /// scalar [batch] -> [batch, width] in the residual type.
  [[nodiscard]] ops::Variable forward(const Tensor& scalar) const;

 private:
  std::int64_t frequencies_;
  Activation activation_;
  Linear input_;
  Linear output_;
};

}  // namespace tessera::nn
