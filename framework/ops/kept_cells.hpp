#pragma once
// Invariant: a loss of an image is the mean over the elements that count: all of them, or those of the tokens
// that masking kept.

#include "compute/parallel.hpp"
#include "ops/graph.hpp"

namespace tessera::ops {

/// An image of channels x height x width pixels, cut into cells of cell_height x cell_width pixels that count
/// with one factor each. Without a mask the whole image is one cell.
struct Cells {
  std::size_t images;
  std::size_t channels;
  std::size_t height;
  std::size_t width;
  std::size_t cell_height;
  std::size_t cell_width;

  [[nodiscard]] KOKKOS_INLINE_FUNCTION std::size_t columns() const { return width / cell_width; }
  [[nodiscard]] KOKKOS_INLINE_FUNCTION std::size_t per_image() const {
    return height / cell_height * columns();
  }
  /// The cell factors of pixel row y of an image.
  template <class A>
  [[nodiscard]] KOKKOS_INLINE_FUNCTION const A* factors(const A* all, std::size_t image,
                                                        std::size_t y) const {
    return all + image * per_image() + y / cell_height * columns();
  }
};

/// @param shape  [images, channels, height, width]
/// @param removed  [images, tokens], 1 = token was masked out, a token being patch x patch pixels; undefined
/// when there is no mask.
/// @throws Error naming `operation` when they do not fit.
[[nodiscard]] Cells cells_of(const Shape& shape, const Tensor& removed, std::int64_t patch,
                             const char* operation);

/// factor[image, cell] = kept / (number of kept cells * elements of a cell) in `type` (float32 or float64):
/// the weight of one element in the mean.
[[nodiscard]] Tensor cell_factors(const Cells& cells, const Tensor& removed, DType type);

/// loss[image] = weight[image] * sum over channels of partial[image, channel].
template <class A>
void image_losses(const Cells& cells, const double* partial, const A* weight, A* loss) {
  const std::size_t channels = cells.channels;
  parallel_rows(
      static_cast<std::int64_t>(cells.images), KOKKOS_LAMBDA(std::size_t image) {
        double sum = 0;
        for (std::size_t c = 0; c < channels; ++c) sum += partial[image * channels + c];
        loss[image] = static_cast<A>(static_cast<double>(weight[image]) * sum);
      });
}

}  // namespace tessera::ops
