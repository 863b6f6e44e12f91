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

// Of streams that are made again one from the other. Without a limit, blocks whose stream meets nothing but
// gated residuals (a DiT without captions) would be made again from the first to the last, and all be in
// memory at once, when backward begins.
constexpr int longest_chain = 2;

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
          put<false>(yr[i], static_cast<A>(xr[i]) + g[i] * static_cast<A>(br[i]));
        }
      });
}

template <bool add, class X, class B, class A>
void branch_backward(const TokenGrid& grid, const X* dy, const A* gates, std::size_t stride, B* dbranch) {
  const std::size_t width = grid.width;
  const std::size_t tokens = grid.tokens;
  parallel_rows(
      grid.rows(), KOKKOS_LAMBDA(std::size_t row) {
        const A* g = gates + row / tokens * stride;
        const X* dr = dy + row * width;
        B* br = dbranch + row * width;
#pragma omp simd
        for (std::size_t i = 0; i < width; ++i) put<add>(br[i], g[i] * static_cast<A>(dr[i]));
      });
}

// partial[chunk, c] = sum over the tokens of the chunk of dy * branch.
template <class X, class B, class A>
void gate_sums(const TokenGrid& grid, const X* dy, const B* branch, A* partial) {
  const TokenGrid g = grid;
  parallel_rows(
      g.chunks(), KOKKOS_LAMBDA(std::size_t index) {
        const TokenGrid::Chunk chunk = g.chunk(index);
        A* sum = partial + index * g.width;
        for (std::size_t i = 0; i < g.width; ++i) sum[i] = 0;
        for (std::size_t row = chunk.first_row; row < chunk.end_row; ++row) {
          const X* dr = dy + row * g.width;
          const B* br = branch + row * g.width;
#pragma omp simd
          for (std::size_t i = 0; i < g.width; ++i) sum[i] += static_cast<A>(dr[i]) * static_cast<A>(br[i]);
        }
      });
}

// Both of the above in one pass over dy.
template <bool add, class X, class B, class A>
void gated_backward(const TokenGrid& grid, const X* dy, const B* branch, const A* gates, std::size_t stride,
                    B* dbranch, A* partial) {
  const TokenGrid g = grid;
  parallel_rows(
      g.chunks(), KOKKOS_LAMBDA(std::size_t index) {
        const TokenGrid::Chunk chunk = g.chunk(index);
        const A* gate = gates + chunk.image * stride;
        A* sum = partial + index * g.width;
        for (std::size_t i = 0; i < g.width; ++i) sum[i] = 0;
        for (std::size_t row = chunk.first_row; row < chunk.end_row; ++row) {
          const X* dr = dy + row * g.width;
          const B* br = branch + row * g.width;
          B* to = dbranch + row * g.width;
#pragma omp simd
          for (std::size_t i = 0; i < g.width; ++i) {
            const A d = static_cast<A>(dr[i]);
            sum[i] += d * static_cast<A>(br[i]);
            put<add>(to[i], gate[i] * d);
          }
        }
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
  const std::size_t stride = modulation_stride(vectors);
  const auto forward = [grid, operation, vectors, stride, gate](const Tensor& stream, const Tensor& values) {
    Tensor y = Tensor::empty(stream.shape(), stream.dtype());
    dispatch_pair(stream.dtype(), values.dtype(), operation, [&]<class X, class B>(X, B) {
      if (y.is_meta()) return;
      using A = arithmetic_t<X>;
      gated_forward(grid, stream.data<X>(), values.data<B>(), modulation_row<A>(vectors, gate), stride,
                    y.data<X>());
    });
    return y;
  };
  const auto backward = [x_node = x.node(), branch_node = branch.node(), modulation_node = modulation.node(),
                         grid, type, vectors, stride, kept = branch.kept(), gate](const Tensor& dy) {
    const Tensor& values = kept.tensor();
    const TypedSlot dbranch(branch_node, values.dtype());
    TypedSlot dmodulation(modulation_node, type);
    dmodulation.make_additive();
    dispatch_pair(dy.dtype(), values.dtype(), "gated_residual", [&]<class X, class B>(X, B) {
      if (dy.is_meta()) return;
      using A = arithmetic_t<X>;
      const X* d = dy.data<X>();
      const A* gates = modulation_row<A>(vectors, gate);
      const Tensor partial = dmodulation ? chunk_sums(grid, type) : Tensor();
      dispatch_flag(dbranch.accumulate(), [&](auto add) {
        if (dbranch && dmodulation) {
          gated_backward<add()>(grid, d, values.data<B>(), gates, stride, dbranch.data<B>(),
                                partial.data<A>());
        } else if (dbranch) {
          branch_backward<add()>(grid, d, gates, stride, dbranch.data<B>());
        } else if (dmodulation) {
          gate_sums(grid, d, values.data<B>(), partial.data<A>());
        }
      });
      if (dmodulation) {
        add_chunk_sums<A>(grid, partial.data<A>(), nullptr, modulation_row<A>(dmodulation.tensor(), gate),
                          stride);
      }
    });
    dbranch.commit();
    dmodulation.commit();
    pass_gradient(x_node, dy);
  };
  // The stream is not needed by this backward, but a norm that reads it keeps it in any case.
  Remake remake;
  if (x.kept().depth() < longest_chain) {
    remake = [forward, stream = x.kept(), values = branch.kept()] {
      return forward(stream.tensor(), values.tensor());
    };
  }
  return record(forward(x.value(), branch.value()), {x, branch, modulation}, backward, remake);
}

}  // namespace tessera::ops
