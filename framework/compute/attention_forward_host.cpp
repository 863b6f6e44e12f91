// Invariant: a query's output and log-sum-exp are complete when its block of queries ends. Keys are taken in
// blocks with a running maximum (Milakov and Gimelshein, "Online normalizer calculation for softmax", arXiv
// 1805.02867).

#include "compute/attention_head.hpp"
#include "compute/attention_kernels.hpp"
#include "compute/attention_softmax.hpp"

namespace tessera::compute::host {
namespace {

template <class T>
struct ForwardArrays {
  using U = Units<T>;
  using Unit = typename U::Unit;
  using A = typename U::Sum;
  T* entering_q;
  T* entering_k;
  Unit* keys;
  Unit* values;
  Unit* query_columns;
  A* tile;
  A* sums;
  Running<A> running;

  ForwardArrays(Cutter& cut, const Extents<U>& e)
      : entering_q(cut.take<T>(e.queries * e.head_dim)),
        entering_k(cut.take<T>(e.keys * e.head_dim)),
        keys(cut.take<Unit>(e.key_rows * e.row_units)),
        values(cut.take<Unit>(e.key_rows * e.columns)),
        query_columns(cut.take<Unit>(e.row_units * e.widest)),
        tile(cut.take<A>(e.block_keys * e.widest)),
        sums(cut.take<A>(e.widest * e.columns)),
        running{cut.take<A>(e.widest), cut.take<A>(e.widest), cut.take<A>(e.widest)} {}
};

template <class T>
struct ForwardOperands {
  HeadRows<T> q, k, v, out;
  arithmetic_t<T>* log_sum_exp;
};

template <class T>
void forward_head(const Extents<Units<T>>& e, double scale, const ForwardOperands<T>& head) {
  using U = Units<T>;
  using A = typename U::Sum;
  const auto s = in_scratch<ForwardArrays<T>>(e);
  const HeadRows<T> q = entering(head.q, e.queries, e.head_dim, s.entering_q);
  const HeadRows<T> k = entering(head.k, e.keys, e.head_dim, s.entering_k);
  const A base_scale = static_cast<A>(scale * Power<A>::scale);
  pack_rows<U>(k.data, k.stride, e.keys, e.key_rows, e.head_dim, s.keys, e.row_units);
  pack_depth<U>(head.v.data, head.v.stride, e.keys, e.head_dim, s.values, e.columns);

  for (std::size_t first = 0; first < e.queries; first += query_block) {
    const std::size_t count = std::min(query_block, e.queries - first);
    const std::size_t width = e.padded_queries(count);
    pack_transposed<U>(q.row(first), q.stride, count, e.head_dim, s.query_columns, width);
    for (std::size_t begin = 0; begin < e.keys; begin += e.block_keys) {
      const std::size_t block = std::min(e.block_keys, e.keys - begin);
      const bool start = begin == 0;
      product(
          Left<U>{s.keys + begin * e.row_units, e.row_units, 1}, Right<U>{s.query_columns, width},
          round_up(block, row_group), width, e.depth,
          [ tile = s.tile, width ](std::size_t row, std::size_t column, const Vector<A>(&score)[2])
              __attribute__((always_inline)) {
                store(tile + row * width + column, score[0]);
                store(tile + (row + 1) * width + column, score[1]);
              });
      soften<U>(s.tile, width, block, base_scale, start, s.running);
      product(
          Left<U>{reinterpret_cast<const typename U::Unit*>(s.tile), 1, width},
          Right<U>{s.values + begin / U::per * e.columns, e.columns}, width, e.columns,
          divide_up(block, U::per),
          [ sums = s.sums, shrink = s.running.shrink, stride = e.columns, start ](
              std::size_t row, std::size_t column, const Vector<A>(&sum)[2]) __attribute__((always_inline)) {
            for (std::size_t i = 0; i < 2; ++i) {
              A* place = sums + (row + i) * stride + column;
              store(place, start ? sum[i] : sum[i] + shrink[row + i] * load(place));
            }
          });
    }
    for (std::size_t n = 0; n < width; n += lanes<A>) {
      const Vector<A> total = load(s.running.total + n);
      store(s.running.total + n, A(1) / total);
      store(s.running.largest + n,
            (load(s.running.largest + n) + Power<A>::log(total)) * static_cast<A>(1 / Power<A>::scale));
    }
    std::copy_n(s.running.largest, count, head.log_sum_exp + first);
    for (std::size_t n = 0; n < count; ++n) {
      unpack_row(s.sums + n * e.columns, e.head_dim, s.running.total[n], head.out.row(first + n));
    }
  }
}

}  // namespace

void attention_forward(const AttentionShape& shape, const Tokens& q, const Tokens& k, const Tokens& v,
                       const Tokens& out, const Tensor& log_sum_exp) {
  dispatch_floating(q.tensor->dtype(), [&]<class T>(T) {
    auto* const lse = log_sum_exp.data<arithmetic_t<T>>();
    for_each_head<T>(shape, [&](const Head<T>& head) {
      const ForwardOperands<T> operands{head.queries(q), head.keys(k), head.keys(v), head.queries(out),
                                        lse + head.row_of_scores()};
      forward_head(Extents<Units<T>>(shape, head.image), shape.scale, operands);
    });
  });
}

}  // namespace tessera::compute::host
