#include "nn/embeddings.hpp"

#include <cmath>

#include "ops/elementwise.hpp"
#include "ops/sinusoid.hpp"

namespace tessera::nn {

std::vector<float> sincos_positions(std::int64_t rows, std::int64_t columns, std::int64_t width, double scale,
                                    std::int64_t base) {
  if (width % 4 != 0) {
    throw Error("sine-cosine positions need a width that 4 divides, not " + std::to_string(width));
  }
  const std::int64_t quarter = width / 4;
  std::vector<float> table(static_cast<std::size_t>(rows * columns * width));
  const auto fill = [&](float* out, std::int64_t index, std::int64_t count) {
    // The coordinate is a float32 value in the published models, the angle a float64 one.
    const double stretch = base == 0 ? 1.0 : static_cast<double>(count) / static_cast<double>(base);
    const float coordinate =
        static_cast<float>(index) / static_cast<float>(stretch) / static_cast<float>(scale);
    for (std::int64_t j = 0; j < quarter; ++j) {
      const double frequency = std::pow(10000.0, -static_cast<double>(j) / static_cast<double>(quarter));
      const double angle = static_cast<double>(coordinate) * frequency;
      out[j] = static_cast<float>(std::sin(angle));
      out[quarter + j] = static_cast<float>(std::cos(angle));
    }
  };
  for (std::int64_t row = 0; row < rows; ++row) {
    for (std::int64_t column = 0; column < columns; ++column) {
      float* out = table.data() + (row * columns + column) * width;
      fill(out, column, columns);
      fill(out + 2 * quarter, row, rows);
    }
  }
  return table;
}

ScalarEmbedding::ScalarEmbedding(std::int64_t frequencies, std::int64_t width, Activation activation)
    : frequencies_(frequencies),
      activation_(activation),
      input_(frequencies, width, true, Initializer::normal(0.02), {.exact = true}),
      output_(width, width, true, Initializer::normal(0.02), {.exact = true}) {
  add_child("mlp.0", input_);
  add_child("mlp.2", output_);
}

ops::Variable ScalarEmbedding::forward(const Tensor& scalar) const {
  const ops::Variable features(ops::sinusoid(scalar, frequencies_, precision().residual));
  const ops::Variable hidden = input_.forward_exact(features);
  return output_.forward_exact(activation_ == Activation::gelu_tanh ? ops::gelu_tanh(hidden)
                                                                    : ops::silu(hidden));
}

}  // namespace tessera::nn
