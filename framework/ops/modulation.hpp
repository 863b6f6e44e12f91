#pragma once
// Invariant: sums over tokens are taken per image in chunks of consecutive tokens and combined in order of
// the chunks, so that they do not depend on the number of threads or on the other images of the batch.

#include <cstddef>
#include <cstdint>
#include <initializer_list>

#include "compute/parallel.hpp"
#include "ops/dispatch.hpp"
#include "ops/validate.hpp"
#include "tensor/tensor.hpp"

namespace tessera::ops {

/// [images, tokens, width] cut into chunks of consecutive tokens of one image. A kernel that also sums over
/// tokens runs one chunk per index: it reads a row while the row is in cache, and its sums stay there too.
struct TokenGrid {
  static constexpr std::size_t chunk_tokens = 64;

  std::size_t images = 0;
  std::size_t tokens = 0;
  std::size_t width = 0;

  /// Rows [first_row, end_row) of one image.
  struct Chunk {
    std::size_t image;
    std::size_t first_row;
    std::size_t end_row;
  };

  [[nodiscard]] KOKKOS_INLINE_FUNCTION std::size_t chunks_per_image() const {
    return (tokens + chunk_tokens - 1) / chunk_tokens;
  }
  [[nodiscard]] std::int64_t rows() const { return static_cast<std::int64_t>(images * tokens); }
  [[nodiscard]] std::int64_t chunks() const { return static_cast<std::int64_t>(images * chunks_per_image()); }
  [[nodiscard]] KOKKOS_INLINE_FUNCTION Chunk chunk(std::size_t index) const {
    const std::size_t image = index / chunks_per_image();
    const std::size_t first = index % chunks_per_image() * chunk_tokens;
    const std::size_t end = first + chunk_tokens < tokens ? first + chunk_tokens : tokens;
    return {image, image * tokens + first, image * tokens + end};
  }
};

/// @throws Error when `shape` is not [batch, tokens, width].
[[nodiscard]] inline TokenGrid token_grid(const Shape& shape, const char* operation) {
  require(shape.rank() == 3, operation, "x must be [batch, tokens, width]", shape);
  return {static_cast<std::size_t>(shape[0]), static_cast<std::size_t>(shape[1]),
          static_cast<std::size_t>(shape[2])};
}

/// Memory for one sum per chunk and column: [chunks, width].
[[nodiscard]] inline Tensor chunk_sums(const TokenGrid& grid, DType type) {
  return Tensor::empty({grid.chunks(), static_cast<std::int64_t>(grid.width)}, type);
}

/// to[image * stride + c] += factor[c] * the image's sum of partial [chunks, width]; a null factor is one.
template <class A>
void add_chunk_sums(const TokenGrid& grid, const A* partial, const A* factor, A* to, std::size_t stride) {
  const std::size_t width = grid.width;
  const std::size_t per_image = grid.chunks_per_image();
  parallel_rows(
      static_cast<std::int64_t>(grid.images), KOKKOS_LAMBDA(std::size_t image) {
        const A* from = partial + image * per_image * width;
        A* target = to + image * stride;
        for (std::size_t c = 0; c < width; ++c) {
          A sum = 0;
          for (std::size_t chunk = 0; chunk < per_image; ++chunk) sum += from[chunk * width + c];
          target[c] += factor != nullptr ? factor[c] * sum : sum;
        }
      });
}

/// @throws Error unless `modulation` is [batch, vectors, width] for x [batch, tokens, width] and has the
/// rows.
inline void require_modulation(const Tensor& modulation, const Shape& x,
                               std::initializer_list<std::int64_t> rows, const char* operation) {
  const Shape& m = modulation.shape();
  require(m.rank() == 3 && m[0] == x[0] && m[2] == x[2], operation,
          "the modulation must be [batch, vectors, width] for x [batch, tokens, width]", m, x);
  for (const std::int64_t row : rows) {
    require(row >= 0 && row < m[1], operation, "the modulation lacks a vector that was asked for", m);
  }
}

/// Vector `row` of the first image, and the distance to the next image's.
template <class A>
[[nodiscard]] A* modulation_row(const Tensor& modulation, std::int64_t row) {
  return modulation.data<A>() + row * modulation.shape()[2];
}
[[nodiscard]] inline std::size_t modulation_stride(const Tensor& modulation) {
  return static_cast<std::size_t>(modulation.shape()[1] * modulation.shape()[2]);
}

}  // namespace tessera::ops
