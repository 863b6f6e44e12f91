#include "ops/norm.hpp"

#include "compute/math.hpp"
#include "compute/parallel.hpp"
#include "ops/accumulate.hpp"
#include "ops/dispatch.hpp"
#include "ops/modulation.hpp"
#include "ops/typed_slot.hpp"
#include "ops/validate.hpp"

namespace tessera::ops {
namespace {

// The factors of a normalised value: y = xhat * gain * (1 + scale) + shift. Absent ones are null.
template <class A>
struct Affine {
  const A* gain;
  const A* shift;
  const A* scale;
  std::size_t stride;  // from an image's shift or scale to the next image's
};

template <class X, class Y, class A>
void norm_forward(const TokenGrid& grid, const Affine<A>& affine, A eps, const X* x, Y* y, A* statistics) {
  const std::size_t width = grid.width;
  const std::size_t tokens = grid.tokens;
  const Affine<A> f = affine;
  parallel_rows(
      grid.rows(), KOKKOS_LAMBDA(std::size_t row) {
        const X* xr = x + row * width;
        Y* yr = y + row * width;
        A sum = 0;
#pragma omp simd reduction(+ : sum)
        for (std::size_t i = 0; i < width; ++i) sum += static_cast<A>(xr[i]);
        const A mean = sum / static_cast<A>(width);
        // Around the mean, in a second pass from cache: the difference of two large sums would cancel.
        A squares = 0;
#pragma omp simd reduction(+ : squares)
        for (std::size_t i = 0; i < width; ++i) {
          const A centred = static_cast<A>(xr[i]) - mean;
          squares += centred * centred;
        }
        const A inverse = A(1) / math::sqrt(squares / static_cast<A>(width) + eps);
        statistics[2 * row] = mean;
        statistics[2 * row + 1] = inverse;
        const A* gain = f.gain;
        if (f.scale != nullptr) {
          const A* shift = f.shift + row / tokens * f.stride;
          const A* scale = f.scale + row / tokens * f.stride;
#pragma omp simd
          for (std::size_t i = 0; i < width; ++i) {
            const A g = gain != nullptr ? gain[i] : A(1);
            const A hat = (static_cast<A>(xr[i]) - mean) * inverse;
            yr[i] = Y(hat * g * (A(1) + scale[i]) + shift[i]);
          }
        } else {
#pragma omp simd
          for (std::size_t i = 0; i < width; ++i) {
            const A g = gain != nullptr ? gain[i] : A(1);
            yr[i] = Y((static_cast<A>(xr[i]) - mean) * inverse * g);
          }
        }
      });
}

// With h = dy * gain * (1 + scale): dx = inverse * (h - mean(h) - xhat * mean(h * xhat)).
template <class X, class Y, class A>
void norm_backward_input(const TokenGrid& grid, const Affine<A>& affine, const X* x, const A* statistics,
                         const Y* dy, X* dx, bool add) {
  const std::size_t width = grid.width;
  const std::size_t tokens = grid.tokens;
  const Affine<A> f = affine;
  parallel_rows(
      grid.rows(), KOKKOS_LAMBDA(std::size_t row) {
        const X* xr = x + row * width;
        const Y* dr = dy + row * width;
        X* to = dx + row * width;
        const A mean = statistics[2 * row];
        const A inverse = statistics[2 * row + 1];
        const A* gain = f.gain;
        const A* scale = f.scale == nullptr ? nullptr : f.scale + row / tokens * f.stride;
        A sum = 0;
        A dot = 0;
#pragma omp simd reduction(+ : sum, dot)
        for (std::size_t i = 0; i < width; ++i) {
          const A g = gain != nullptr ? gain[i] : A(1);
          const A s = scale != nullptr ? A(1) + scale[i] : A(1);
          const A h = static_cast<A>(dr[i]) * g * s;
          sum += h;
          dot += h * (static_cast<A>(xr[i]) - mean);
        }
        const A mean_h = sum / static_cast<A>(width);
        const A slope = dot * inverse * inverse / static_cast<A>(width);
#pragma omp simd
        for (std::size_t i = 0; i < width; ++i) {
          const A g = gain != nullptr ? gain[i] : A(1);
          const A s = scale != nullptr ? A(1) + scale[i] : A(1);
          const A h = static_cast<A>(dr[i]) * g * s;
          put(to[i], inverse * (h - mean_h - (static_cast<A>(xr[i]) - mean) * slope), add);
        }
      });
}

// partial[0] = sum of dy * xhat, partial[1] = sum of dy, over the tokens of one chunk.
template <class X, class Y, class A>
void norm_partial_sums(const TokenGrid& grid, const X* x, const A* statistics, const Y* dy, A* partial) {
  const TokenGrid g = grid;
  A* products = partial;
  A* sums = partial + g.chunks() * static_cast<std::int64_t>(g.width);
  parallel_rows(
      g.chunks() * g.blocks(), KOKKOS_LAMBDA(std::size_t index) {
        const TokenGrid::Tile tile = g.tile(index);
        A product[TokenGrid::block_width] = {};
        A sum[TokenGrid::block_width] = {};
        for (std::size_t row = tile.first_row; row < tile.end_row; ++row) {
          const X* xr = x + row * g.width + tile.first_column;
          const Y* dr = dy + row * g.width + tile.first_column;
          const A mean = statistics[2 * row];
          const A inverse = statistics[2 * row + 1];
#pragma omp simd
          for (std::size_t i = 0; i < tile.columns; ++i) {
            const A d = static_cast<A>(dr[i]);
            product[i] += d * ((static_cast<A>(xr[i]) - mean) * inverse);
            sum[i] += d;
          }
        }
        const std::size_t at = tile.chunk * g.width + tile.first_column;
        for (std::size_t i = 0; i < tile.columns; ++i) {
          products[at + i] = product[i];
          sums[at + i] = sum[i];
        }
      });
}

// to[c] += sum over images of (1 + scale[image, c]) * sum over the image's chunks of product[chunk, c].
template <class A>
void norm_backward_gain(const TokenGrid& grid, const Affine<A>& f, const A* product, A* to, bool add) {
  const std::size_t images = grid.images;
  const std::size_t width = grid.width;
  const std::size_t per_image = grid.chunks_per_image();
  const A* scale = f.scale;
  const std::size_t stride = f.stride;
  parallel_elements(
      static_cast<std::int64_t>(width), KOKKOS_LAMBDA(std::size_t c) {
        double total = 0;
        for (std::size_t image = 0; image < images; ++image) {
          double sum = 0;
          for (std::size_t chunk = 0; chunk < per_image; ++chunk) {
            sum += static_cast<double>(product[(image * per_image + chunk) * width + c]);
          }
          total += scale != nullptr ? sum * (1.0 + static_cast<double>(scale[image * stride + c])) : sum;
        }
        put(to[c], static_cast<A>(total), add);
      });
}

// scale[image, c] += gain[c] * sum over the image's chunks of product[chunk, c].
template <class A>
void norm_backward_scale(const TokenGrid& grid, const A* gain, const A* product, A* to, std::size_t stride) {
  const std::size_t width = grid.width;
  const std::size_t per_image = grid.chunks_per_image();
  parallel_elements(
      static_cast<std::int64_t>(grid.images * width), KOKKOS_LAMBDA(std::size_t index) {
        const std::size_t image = index / width;
        const std::size_t c = index % width;
        A sum = 0;
        for (std::size_t chunk = 0; chunk < per_image; ++chunk) {
          sum += product[(image * per_image + chunk) * width + c];
        }
        to[image * stride + c] += gain != nullptr ? gain[c] * sum : sum;
      });
}

// Everything that both operations share; shift and scale are negative without a modulation.
struct Norm {
  TokenGrid grid;
  DType type;  // of the arithmetic
  double eps;
  Tensor x;
  Tensor gain;        // in `type`; may be undefined
  Tensor modulation;  // in `type`; may be undefined
  std::int64_t shift = -1;
  std::int64_t scale = -1;
  Tensor statistics;  // [rows, 2]: mean and 1 / deviation
  NodePtr x_node;
  NodePtr gain_node;
  NodePtr modulation_node;

  template <class A>
  [[nodiscard]] Affine<A> affine() const {
    const A* g = gain.defined() ? gain.data<A>() : nullptr;
    if (!modulation.defined()) return {g, nullptr, nullptr, 0};
    return {g, modulation_row<A>(modulation, shift), modulation_row<A>(modulation, scale),
            modulation_stride(modulation)};
  }

  Tensor forward(DType result_type, const char* operation);
  void backward(const Tensor& dy) const;
};

Tensor Norm::forward(DType result_type, const char* operation) {
  Tensor y = Tensor::empty(x.shape(), result_type);
  statistics = Tensor::empty({grid.rows(), 2}, type);
  dispatch_pair(x.dtype(), result_type, operation, [&]<class X, class Y>(X, Y) {
    using A = arithmetic_t<X>;
    if (y.is_meta()) return;
    norm_forward(grid, affine<A>(), static_cast<A>(eps), x.data<X>(), y.data<Y>(), statistics.data<A>());
  });
  return y;
}

void Norm::backward(const Tensor& dy) const {
  const TypedSlot dx(x_node, x.dtype());
  const TypedSlot dgain(gain_node, type);
  TypedSlot dmodulation(modulation_node, type);
  dmodulation.make_additive();
  dispatch_pair(x.dtype(), dy.dtype(), "layer_norm", [&]<class X, class Y>(X, Y) {
    using A = arithmetic_t<X>;
    if (dy.is_meta()) return;
    const Affine<A> f = affine<A>();
    if (dx) {
      norm_backward_input(grid, f, x.data<X>(), statistics.data<A>(), dy.data<Y>(), dx.data<X>(),
                          dx.accumulate());
    }
    if (!dgain && !dmodulation) return;
    const Tensor partial = chunk_sums(grid, 2, type);
    const A* products = partial.slice(0, 1).template data<A>();
    const A* sums = partial.slice(1, 2).template data<A>();
    norm_partial_sums(grid, x.data<X>(), statistics.data<A>(), dy.data<Y>(), partial.data<A>());
    if (dgain) norm_backward_gain(grid, f, products, dgain.data<A>(), dgain.accumulate());
    if (dmodulation) {
      norm_backward_scale(grid, f.gain, products, modulation_row<A>(dmodulation.tensor(), scale), f.stride);
      add_chunk_sums(grid, sums, modulation_row<A>(dmodulation.tensor(), shift), f.stride);
    }
  });
  dx.commit();
  dgain.commit();
  dmodulation.commit();
}

Norm norm_of(const Variable& x, const Variable& gain, double eps, const char* operation) {
  require_floating(x.value(), operation);
  require(x.shape().rank() >= 1 && x.shape()[-1] > 0, operation, "x needs a last extent to normalise over",
          x.shape());
  Norm norm;
  norm.type = arithmetic_of(x.dtype());
  norm.eps = eps;
  norm.x = x.value();
  norm.x_node = x.node();
  if (gain.defined()) {
    require(gain.shape().rank() == 1 && gain.shape()[0] == x.shape()[-1], operation,
            "the gain must have one number per column of x", gain.shape(), x.shape());
    norm.gain = converted(gain.value(), norm.type);
    norm.gain_node = gain.node();
  }
  return norm;
}

}  // namespace

Variable layer_norm(const Variable& x, const Variable& gain, double eps, DType result_type) {
  Norm norm = norm_of(x, gain, eps, "layer_norm");
  const auto width = static_cast<std::size_t>(x.shape()[-1]);
  // One image of all rows: the rows of a plain norm have no images.
  norm.grid = {1, static_cast<std::size_t>(x.shape().numel()) / width, width};
  const Tensor y = norm.forward(result_type, "layer_norm");
  return record(y, {x, gain}, [norm](const Tensor& dy) { norm.backward(dy); });
}

Variable modulated_layer_norm(const Variable& x, const Variable& gain, const Variable& modulation,
                              std::int64_t shift, std::int64_t scale, double eps, DType result_type) {
  const char* const operation = "modulated_layer_norm";
  Norm norm = norm_of(x, gain, eps, operation);
  norm.grid = token_grid(x.shape(), operation);
  require_modulation(modulation.value(), x.shape(), {shift, scale}, operation);
  norm.modulation = converted(modulation.value(), norm.type);
  norm.modulation_node = modulation.node();
  norm.shift = shift;
  norm.scale = scale;
  const Tensor y = norm.forward(result_type, operation);
  return record(y, {x, gain, modulation}, [norm](const Tensor& dy) { norm.backward(dy); });
}

}  // namespace tessera::ops
