#include "ops/norm.hpp"

#include <memory>
#include <utility>

#include "compute/parallel.hpp"
#include "ops/accumulate.hpp"
#include "ops/dispatch.hpp"
#include "ops/modulation.hpp"
#include "ops/norm_kernels.hpp"
#include "ops/typed_slot.hpp"
#include "ops/validate.hpp"

namespace tessera::ops {
namespace {

// factor[image, c] = gain[c] * (1 + scale[image, c]), absent ones left out.
template <class A>
void combine_factors(std::size_t images, std::size_t width, const A* gain, const A* scale, std::size_t stride,
                     A* factor) {
  parallel_rows(
      static_cast<std::int64_t>(images), KOKKOS_LAMBDA(std::size_t image) {
        A* to = factor + image * width;
        for (std::size_t c = 0; c < width; ++c) to[c] = gain != nullptr ? gain[c] : A(1);
        if (scale == nullptr) return;
        const A* from = scale + image * stride;
        for (std::size_t c = 0; c < width; ++c) to[c] *= A(1) + from[c];
      });
}

// to[c] = or += sum over images of (1 + scale[image, c]) * sum over the image's chunks of products[chunk, c].
template <bool add, class A>
void gain_gradient(const TokenGrid& grid, const A* products, const A* scale, std::size_t stride, A* to) {
  const std::size_t images = grid.images;
  const std::size_t width = grid.width;
  const std::size_t per_image = grid.chunks_per_image();
  parallel_elements(
      static_cast<std::int64_t>(width), KOKKOS_LAMBDA(std::size_t c) {
        double total = 0;
        for (std::size_t image = 0; image < images; ++image) {
          double sum = 0;
          for (std::size_t chunk = 0; chunk < per_image; ++chunk) {
            sum += static_cast<double>(products[(image * per_image + chunk) * width + c]);
          }
          total += scale != nullptr ? sum * (1.0 + static_cast<double>(scale[image * stride + c])) : sum;
        }
        put<add>(to[c], static_cast<A>(total));
      });
}

// Everything that both operations share; `shift` and `scale` count only with a modulation.
struct Norm {
  TokenGrid grid;
  DType type;  // of the arithmetic
  double eps;
  Kept x;
  DType result_type;
  const char* operation;
  Tensor gain;        // in `type`; may be undefined
  Tensor modulation;  // in `type`; may be undefined
  std::int64_t shift;
  std::int64_t scale;
  Tensor factor;      // [images or 1, width]
  Tensor zeros;       // [width], the offset of a plain norm
  Tensor statistics;  // [rows, 2]
  NodePtr x_node;
  NodePtr gain_node;
  NodePtr modulation_node;

  template <class A>
  [[nodiscard]] Affine<A> affine() const {
    if (!modulation.defined()) return {factor.data<A>(), zeros.data<A>(), 0, 0};
    return {factor.data<A>(), modulation_row<A>(modulation, shift), grid.width,
            modulation_stride(modulation)};
  }

  Tensor forward(const Tensor& input);
  [[nodiscard]] Tensor again() const;
  void backward(const Tensor& dy) const;
  template <class A>
  void parameter_gradients(const TypedSlot& dgain, const TypedSlot& dmodulation, const A* products,
                           const A* totals) const;
};

Tensor Norm::forward(const Tensor& input) {
  const auto width = static_cast<std::int64_t>(grid.width);
  const std::int64_t images = modulation.defined() ? static_cast<std::int64_t>(grid.images) : 1;
  Tensor y = Tensor::empty(input.shape(), result_type);
  statistics = Tensor::empty({grid.rows(), 2}, type);
  factor = Tensor::empty({images, width}, type);
  if (!modulation.defined()) zeros = Tensor::zeros({width}, type);
  dispatch_pair(input.dtype(), result_type, operation, [&]<class X, class Y>(X, Y) {
    using A = arithmetic_t<X>;
    if (y.is_meta()) return;
    combine_factors<A>(static_cast<std::size_t>(images), grid.width,
                       gain.defined() ? gain.data<A>() : nullptr,
                       modulation.defined() ? modulation_row<A>(modulation, scale) : nullptr,
                       modulation.defined() ? modulation_stride(modulation) : 0, factor.data<A>());
    norm_forward<false>(grid, affine<A>(), static_cast<A>(eps), input.data<X>(), y.data<Y>(),
                        statistics.data<A>());
  });
  return y;
}

Tensor Norm::again() const {
  const Tensor& input = x.tensor();
  Tensor y = Tensor::empty(input.shape(), result_type);
  dispatch_pair(input.dtype(), result_type, operation, [&]<class X, class Y>(X, Y) {
    using A = arithmetic_t<X>;
    if (y.is_meta()) return;
    norm_forward<true>(grid, affine<A>(), static_cast<A>(eps), input.data<X>(), y.data<Y>(),
                       statistics.data<A>());
  });
  return y;
}

void Norm::backward(const Tensor& dy) const {
  const Tensor& input = x.tensor();
  const TypedSlot dx(x_node, input.dtype());
  const TypedSlot dgain(gain_node, type);
  TypedSlot dmodulation(modulation_node, type);
  dmodulation.make_additive();
  dispatch_pair(input.dtype(), dy.dtype(), operation, [&]<class X, class Y>(X, Y) {
    using A = arithmetic_t<X>;
    if (dy.is_meta()) return;
    const bool sums = dgain || dmodulation;
    const Tensor products = sums ? chunk_sums(grid, type) : Tensor();
    const Tensor totals = sums ? chunk_sums(grid, type) : Tensor();
    // A constant input still needs somewhere for the kernel to write.
    const Tensor target = dx ? dx.tensor() : Tensor::empty(input.shape(), input.dtype());
    dispatch_flag(dx.accumulate(), [&](auto add) {
      dispatch_flag(sums, [&](auto with_sums) {
        norm_backward<add(), with_sums()>(grid, affine<A>(), input.data<X>(), statistics.data<A>(),
                                          dy.data<Y>(), target.data<X>(), sums ? products.data<A>() : nullptr,
                                          sums ? totals.data<A>() : nullptr);
      });
    });
    if (sums) parameter_gradients(dgain, dmodulation, products.data<A>(), totals.data<A>());
  });
  dx.commit();
  dgain.commit();
  dmodulation.commit();
}

template <class A>
void Norm::parameter_gradients(const TypedSlot& dgain, const TypedSlot& dmodulation, const A* products,
                               const A* totals) const {
  const std::size_t stride = modulation.defined() ? modulation_stride(modulation) : 0;
  if (dgain) {
    const A* scales = modulation.defined() ? modulation_row<A>(modulation, scale) : nullptr;
    dispatch_flag(dgain.accumulate(),
                  [&](auto add) { gain_gradient<add()>(grid, products, scales, stride, dgain.data<A>()); });
  }
  if (dmodulation) {
    const A* gains = gain.defined() ? gain.data<A>() : nullptr;
    add_chunk_sums(grid, products, gains, modulation_row<A>(dmodulation.tensor(), scale), stride);
    add_chunk_sums<A>(grid, totals, nullptr, modulation_row<A>(dmodulation.tensor(), shift), stride);
  }
}

Norm norm_of(const Variable& x, const Variable& gain, double eps, DType result_type, const char* operation) {
  require_floating(x.value(), operation);
  require(x.shape().rank() >= 1 && x.shape()[-1] > 0, operation, "x needs a last extent to normalise over",
          x.shape());
  Norm norm{};
  norm.type = arithmetic_of(x.dtype());
  norm.eps = eps;
  norm.x = x.kept();
  norm.result_type = result_type;
  norm.operation = operation;
  norm.x_node = x.node();
  if (gain.defined()) {
    require(gain.shape().rank() == 1 && gain.shape()[0] == x.shape()[-1], operation,
            "the gain must have one number per column of x", gain.shape(), x.shape());
    norm.gain = converted(gain.value(), norm.type);
    norm.gain_node = gain.node();
  }
  return norm;
}

Variable record_norm(Norm norm, const Variable& x, const Variable& gain, const Variable& modulation) {
  const Tensor y = norm.forward(x.value());
  const auto kept = std::make_shared<const Norm>(std::move(norm));
  return record(
      y, {x, gain, modulation}, [kept](const Tensor& dy) { kept->backward(dy); },
      [kept] { return kept->again(); });
}

}  // namespace

Variable layer_norm(const Variable& x, const Variable& gain, double eps, DType result_type) {
  Norm norm = norm_of(x, gain, eps, result_type, "layer_norm");
  const auto width = static_cast<std::size_t>(x.shape()[-1]);
  // One image of all rows: the rows of a plain norm have no images.
  norm.grid = {1, static_cast<std::size_t>(x.shape().numel()) / width, width};
  return record_norm(std::move(norm), x, gain, Variable());
}

Variable modulated_layer_norm(const Variable& x, const Variable& gain, const Variable& modulation,
                              std::int64_t shift, std::int64_t scale, double eps, DType result_type) {
  const char* const operation = "modulated_layer_norm";
  Norm norm = norm_of(x, gain, eps, result_type, operation);
  norm.grid = token_grid(x.shape(), operation);
  require_modulation(modulation.value(), x.shape(), {shift, scale}, operation);
  norm.modulation = converted(modulation.value(), norm.type);
  norm.modulation_node = modulation.node();
  norm.shift = shift;
  norm.scale = scale;
  return record_norm(std::move(norm), x, gain, modulation);
}

}  // namespace tessera::ops
