#include "ops/residual.hpp"

#include "compute/parallel.hpp"
#include "ops/accumulate.hpp"
#include "ops/dispatch.hpp"
#include "ops/elementwise.hpp"
#include "ops/modulation.hpp"
#include "ops/typed_slot.hpp"
#include "ops/validate.hpp"

namespace tessera::ops {
namespace {

template <class X, class B, class A>
void gated_forward(const TokenGrid& grid, const X* x, const B* branch, const A* gates, std::size_t stride,
                   X* y) {
  const std::size_t width = grid.width;
  const std::size_t tokens = grid.tokens;
  parallel_rows(
      grid.rows(), KOKKOS_LAMBDA(std::size_t row) {
        const A* g = gates + row / tokens * stride;
        const X* xr = x + row * width;
        const B* br = branch + row * width;
        X* yr = y + row * width;
#pragma omp simd
        for (std::size_t i = 0; i < width; ++i) {
          yr[i] = X(static_cast<A>(xr[i]) + g[i] * static_cast<A>(br[i]));
        }
      });
}

template <class X, class B, class A>
void branch_backward(const TokenGrid& grid, const X* dy, const A* gates, std::size_t stride, B* dbranch,
                     bool add) {
  const std::size_t width = grid.width;
  const std::size_t tokens = grid.tokens;
  parallel_rows(
      grid.rows(), KOKKOS_LAMBDA(std::size_t row) {
        const A* g = gates + row / tokens * stride;
        const X* dr = dy + row * width;
        B* br = dbranch + row * width;
#pragma omp simd
        for (std::size_t i = 0; i < width; ++i) put(br[i], g[i] * static_cast<A>(dr[i]), add);
      });
}

// partial[chunk, width] = sum over the tokens of one chunk of dy * branch.
template <class X, class B, class A>
void gate_partial_sums(const TokenGrid& grid, const X* dy, const B* branch, A* partial) {
  const TokenGrid g = grid;
  parallel_rows(
      g.chunks() * g.blocks(), KOKKOS_LAMBDA(std::size_t index) {
        const TokenGrid::Tile tile = g.tile(index);
        A sum[TokenGrid::block_width] = {};
        for (std::size_t row = tile.first_row; row < tile.end_row; ++row) {
          const X* dr = dy + row * g.width + tile.first_column;
          const B* br = branch + row * g.width + tile.first_column;
#pragma omp simd
          for (std::size_t i = 0; i < tile.columns; ++i) {
            sum[i] += static_cast<A>(dr[i]) * static_cast<A>(br[i]);
          }
        }
        A* to = partial + tile.chunk * g.width + tile.first_column;
        for (std::size_t i = 0; i < tile.columns; ++i) to[i] = sum[i];
      });
}

}  // namespace

Variable residual(const Variable& x, const Variable& branch) {
  require(x.shape() == branch.shape(), "residual", "stream and branch have one shape", x.shape(),
          branch.shape());
  return add(x, branch);
}

Variable gated_residual(const Variable& x, const Variable& branch, const Variable& modulation,
                        std::int64_t gate) {
  const char* const operation = "gated_residual";
  require(x.shape() == branch.shape(), operation, "stream and branch have one shape", x.shape(),
          branch.shape());
  const TokenGrid grid = token_grid(x.shape(), operation);
  require_modulation(modulation.value(), x.shape(), {gate}, operation);
  const DType type = arithmetic_of(x.dtype());
  const Tensor vectors = converted(modulation.value(), type);
  const Tensor br = branch.value();
  Tensor y = Tensor::empty(x.shape(), x.dtype());
  dispatch_pair(x.dtype(), br.dtype(), operation, [&]<class X, class B>(X, B) {
    if (y.is_meta()) return;
    using A = arithmetic_t<X>;
    gated_forward(grid, x.value().data<X>(), br.data<B>(), modulation_row<A>(vectors, gate),
                  modulation_stride(vectors), y.data<X>());
  });
  return record(y, {x, branch, modulation},
                [x_node = x.node(), branch_node = branch.node(), modulation_node = modulation.node(), grid,
                 type, vectors, br, gate](const Tensor& dy) {
                  const TypedSlot dbranch(branch_node, br.dtype());
                  TypedSlot dmodulation(modulation_node, type);
                  dmodulation.make_additive();
                  dispatch_pair(dy.dtype(), br.dtype(), "gated_residual", [&]<class X, class B>(X, B) {
                    if (dy.is_meta()) return;
                    using A = arithmetic_t<X>;
                    if (dbranch) {
                      branch_backward(grid, dy.data<X>(), modulation_row<A>(vectors, gate),
                                      modulation_stride(vectors), dbranch.data<B>(), dbranch.accumulate());
                    }
                    if (dmodulation) {
                      const Tensor partial = chunk_sums(grid, 1, type);
                      gate_partial_sums(grid, dy.data<X>(), br.data<B>(), partial.data<A>());
                      add_chunk_sums<A>(grid, partial.data<A>(),
                                        modulation_row<A>(dmodulation.tensor(), gate),
                                        modulation_stride(vectors));
                    }
                  });
                  dbranch.commit();
                  dmodulation.commit();
                  pass_gradient(x_node, dy);
                });
}

}  // namespace tessera::ops
