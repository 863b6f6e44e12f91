#include "ops/loss.hpp"

#include "compute/parallel.hpp"
#include "ops/accumulate.hpp"
#include "ops/dispatch.hpp"
#include "ops/kept_cells.hpp"
#include "ops/typed_slot.hpp"
#include "ops/validate.hpp"

namespace tessera::ops {
namespace {

// partial[image, channel] = sum of factor * (prediction - target)^2, in float64 and in order of the pixels.
template <class P, class A>
void channel_errors(const Cells& cells, const P* prediction, const A* target, const A* factor,
                    double* partial) {
  const Cells s = cells;
  parallel_rows(
      static_cast<std::int64_t>(s.images * s.channels), KOKKOS_LAMBDA(std::size_t index) {
        const std::size_t image = index / s.channels;
        double sum = 0;
        for (std::size_t y = 0; y < s.height; ++y) {
          const A* f = s.factors(factor, image, y);
          const P* p = prediction + (index * s.height + y) * s.width;
          const A* t = target + (index * s.height + y) * s.width;
          for (std::size_t cell = 0; cell < s.columns(); ++cell) {
            double squares = 0;
#pragma omp simd reduction(+ : squares)
            for (std::size_t x = cell * s.cell_width; x < (cell + 1) * s.cell_width; ++x) {
              const double d = static_cast<double>(static_cast<A>(p[x]) - t[x]);
              squares += d * d;
            }
            sum += static_cast<double>(f[cell]) * squares;
          }
        }
        partial[index] = sum;
      });
}

template <bool add, class P, class A>
void error_backward(const Cells& cells, const P* prediction, const A* target, const A* weight,
                    const A* factor, const A* dloss, P* to) {
  const Cells s = cells;
  parallel_rows(
      static_cast<std::int64_t>(s.images * s.channels * s.height), KOKKOS_LAMBDA(std::size_t line) {
        const std::size_t y = line % s.height;
        const std::size_t image = line / s.height / s.channels;
        const A* f = s.factors(factor, image, y);
        const A seed = A(2) * dloss[image] * weight[image];
        for (std::size_t cell = 0; cell < s.columns(); ++cell) {
          const A scale = seed * f[cell];
#pragma omp simd
          for (std::size_t i = cell * s.cell_width; i < (cell + 1) * s.cell_width; ++i) {
            const std::size_t x = line * s.width + i;
            put<add>(to[x], scale * (static_cast<A>(prediction[x]) - target[x]));
          }
        }
      });
}

}  // namespace

Variable squared_error(const Variable& prediction, const Tensor& target, const Tensor& weight,
                       const Tensor& removed, std::int64_t patch) {
  const char* const operation = "squared_error";
  require_floating(prediction.value(), operation);
  const Shape& shape = prediction.shape();
  require(shape.rank() == 4 && shape.numel() > 0, operation,
          "the prediction must be [batch, channels, height, width] and not empty", shape);
  require(shape == target.shape(), operation, "prediction and target have one shape", shape, target.shape());
  require(weight.shape() == Shape{shape[0]}, operation, "there must be one weight per image", weight.shape(),
          shape);
  const Cells cells = cells_of(shape, removed, patch, operation);
  const DType type = arithmetic_of(prediction.dtype());
  const Tensor p = prediction.value();
  const Tensor t = converted(target, type);
  const Tensor w = converted(weight, type);
  const Tensor factor = cell_factors(cells, removed, type);
  Tensor loss = Tensor::empty({shape[0]}, type);
  if (!loss.is_meta()) {
    const Tensor partial = Tensor::empty({shape[0], shape[1]}, DType::f64);
    dispatch_floating(p.dtype(), [&]<class P>(P) {
      using A = arithmetic_t<P>;
      channel_errors(cells, p.data<P>(), t.data<A>(), factor.data<A>(), partial.data<double>());
      image_losses(cells, partial.data<double>(), w.data<A>(), loss.data<A>());
    });
  }
  return record(loss, {prediction}, [node = prediction.node(), cells, p, t, w, factor](const Tensor& dloss) {
    const TypedSlot slot(node, p.dtype());
    if (!slot || dloss.is_meta()) return;
    dispatch_floating(p.dtype(), [&]<class P>(P) {
      using A = arithmetic_t<P>;
      dispatch_flag(slot.accumulate(), [&](auto add) {
        error_backward<add()>(cells, p.data<P>(), t.data<A>(), w.data<A>(), factor.data<A>(), dloss.data<A>(),
                              slot.data<P>());
      });
    });
    slot.commit();
  });
}

}  // namespace tessera::ops
