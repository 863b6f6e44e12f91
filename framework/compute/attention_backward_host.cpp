// Invariant: the weights are made again from the scores and the saved log-sum-exp, tile by tile; the
// gradients of keys and values gather in scratch over all blocks of queries and are written once.

#include <type_traits>

#include "compute/attention_head.hpp"
#include "compute/attention_kernels.hpp"
#include "compute/attention_softmax.hpp"

namespace tessera::compute::host {
namespace {

template <class T>
struct BackwardArrays {
  using U = Units<T>;
  using Unit = typename U::Unit;
  using A = typename U::Sum;
  using Element = std::conditional_t<U::per == 1, A, bfloat16>;

  T* entering_q;
  T* entering_k;
  Unit* keys;
  Unit* values;
  A* key_sums;
  A* value_sums;
  Unit* query_columns;
  Unit* gradient_columns;
  Unit* query_depth;
  Unit* gradient_depth;
  A* query_sums;
  A* shift;
  A* mean;
  A* weights;
  Unit* factors;
  // Where a unit is one element, what follows is the same memory under another name: the keys as a right
  // operand, and the weights and their gradients as left operands with the queries as their depth.
  Unit* key_depth;
  Element* weights_by_query;
  Element* factors_by_query;

  BackwardArrays(Cutter& cut, const Extents<U>& e)
      : entering_q(cut.take<T>(e.queries * e.head_dim)),
        entering_k(cut.take<T>(e.keys * e.head_dim)),
        keys(cut.take<Unit>(e.key_rows * e.row_units)),
        values(cut.take<Unit>(e.key_rows * e.row_units)),
        key_sums(cut.take<A>(e.key_rows * e.columns)),
        value_sums(cut.take<A>(e.key_rows * e.columns)),
        query_columns(cut.take<Unit>(e.row_units * e.widest)),
        gradient_columns(cut.take<Unit>(e.row_units * e.widest)),
        query_depth(cut.take<Unit>(e.widest * e.columns)),
        gradient_depth(cut.take<Unit>(e.widest * e.columns)),
        query_sums(cut.take<A>(e.widest * e.columns)),
        shift(cut.take<A>(e.widest)),
        mean(cut.take<A>(e.widest)),
        weights(cut.take<A>(e.block_keys * e.widest)),
        factors(cut.take<Unit>(e.block_keys * e.widest)) {
    if constexpr (U::per == 1) {
      key_depth = keys;
      weights_by_query = weights;
      factors_by_query = factors;
    } else {
      key_depth = cut.take<Unit>(e.key_rows * e.columns);
      weights_by_query = cut.take<Element>(e.block_keys * e.widest);
      factors_by_query = cut.take<Element>(e.block_keys * e.widest);
    }
  }
};

template <class T>
struct BackwardOperands {
  HeadRows<T> q, k, v, out, gradient, dq, dk, dv;
  const arithmetic_t<T>* log_sum_exp;
};

// sum(out * gradient) of each query of a block: what the softmax subtracts from the weights' gradients.
template <class T, class A = arithmetic_t<T>>
void output_products(const BackwardOperands<T>& head, std::size_t head_dim, std::size_t first,
                     std::size_t count, std::size_t width, A* to) {
  for (std::size_t n = 0; n < width; n += lanes<A>) {
    Vector<A> partial[lanes<A>] = {};
    for (std::size_t i = 0; i < lanes<A> && n + i < count; ++i) {
      const T* out = head.out.row(first + n + i);
      const T* gradient = head.gradient.row(first + n + i);
      for (std::size_t d = 0; d < head_dim; d += lanes<A>) {
        partial[i] += load_some(out + d, head_dim - d) * load_some(gradient + d, head_dim - d);
      }
    }
    store(to + n, row_sums<A>(partial));
  }
}

// The weights of a block of keys and their gradients before the scale: weights (dweights - mean).
template <class T>
void weights_and_factors(const Extents<Units<T>>& e, const BackwardArrays<T>& s, std::size_t begin,
                         std::size_t block, std::size_t width, arithmetic_t<T> base_scale) {
  using U = Units<T>;
  using A = typename U::Sum;
  const std::size_t rows = round_up(block, row_group);
  const auto weigh = [=](std::size_t row, std::size_t column, const Vector<A>(&score)[2])
      __attribute__((always_inline)) {
    for (std::size_t i = 0; i < 2; ++i) {
      const std::size_t place = (row + i) * width + column;
      const Vector<A> weight = Power<A>::of(score[i] * base_scale - load(s.shift + column));
      store(s.weights + place, weight);
      if constexpr (U::per > 1) narrow(s.weights_by_query + place, weight);
    }
  };
  product(Left<U>{s.keys + begin * e.row_units, e.row_units, 1}, Right<U>{s.query_columns, width}, rows,
          width, e.depth, weigh);
  const auto differentiate = [=](std::size_t row, std::size_t column, const Vector<A>(&gradient)[2])
      __attribute__((always_inline)) {
    Vector<A> factor[2];
    for (std::size_t i = 0; i < 2; ++i) {
      const std::size_t place = (row + i) * width + column;
      factor[i] = load(s.weights + place) * (gradient[i] - load(s.mean + column));
      narrow(s.factors_by_query + place, factor[i]);
    }
    if constexpr (U::per == 2) U::store_depth(s.factors + row / 2 * width + column, factor);
  };
  product(Left<U>{s.values + begin * e.row_units, e.row_units, 1}, Right<U>{s.gradient_columns, width}, rows,
          width, e.depth, differentiate);
  if constexpr (U::per == 2) {
    if (block % 2 == 0) return;
    // The last unit holds a key that does not exist.
    for (std::size_t n = 0; n < width; ++n) s.factors[block / 2 * width + n] &= 0xffffU;
  }
}

template <class T>
void backward_head(const Extents<Units<T>>& e, double scale, const BackwardOperands<T>& head) {
  using U = Units<T>;
  using Unit = typename U::Unit;
  using A = typename U::Sum;
  const auto s = in_scratch<BackwardArrays<T>>(e);
  const HeadRows<T> q = entering(head.q, e.queries, e.head_dim, s.entering_q);
  const HeadRows<T> k = entering(head.k, e.keys, e.head_dim, s.entering_k);
  const A base_scale = static_cast<A>(scale * Power<A>::scale);
  pack_rows<U>(k.data, k.stride, e.keys, e.key_rows, e.head_dim, s.keys, e.row_units);
  pack_rows<U>(head.v.data, head.v.stride, e.keys, e.key_rows, e.head_dim, s.values, e.row_units);
  if (U::per > 1) pack_depth<U>(k.data, k.stride, e.keys, e.head_dim, s.key_depth, e.columns);
  std::fill_n(s.key_sums, e.key_rows * e.columns, A(0));
  std::fill_n(s.value_sums, e.key_rows * e.columns, A(0));
  if (e.short_of_work()) {
    for (const auto* rows : {&head.k, &head.v, &head.dk, &head.dv})
      prefetch_next_head(*rows, e.keys, e.head_dim);
    for (const auto* rows : {&head.q, &head.gradient, &head.out, &head.dq}) {
      prefetch_next_head(*rows, e.queries, e.head_dim);
    }
  }
  const auto add_to = [stride = e.columns](A* sums, bool start) {
    return [=](std::size_t row, std::size_t column, const Vector<A>(&sum)[2]) __attribute__((always_inline)) {
      for (std::size_t i = 0; i < 2; ++i) {
        A* place = sums + (row + i) * stride + column;
        store(place, start ? sum[i] : load(place) + sum[i]);
      }
    };
  };

  for (std::size_t first = 0; first < e.queries; first += query_block) {
    const std::size_t count = std::min(query_block, e.queries - first);
    const std::size_t width = e.padded_queries(count);
    const T* gradient = head.gradient.row(first);
    pack_transposed<U>(q.row(first), q.stride, count, e.head_dim, s.query_columns, width);
    pack_transposed<U>(gradient, head.gradient.stride, count, e.head_dim, s.gradient_columns, width);
    pack_depth<U>(q.row(first), q.stride, count, e.head_dim, s.query_depth, e.columns);
    pack_depth<U>(gradient, head.gradient.stride, count, e.head_dim, s.gradient_depth, e.columns);
    output_products(head, e.head_dim, first, count, width, s.mean);
    for (std::size_t n = 0; n < width; ++n) {
      s.shift[n] = n < count ? head.log_sum_exp[first + n] * static_cast<A>(Power<A>::scale) : A(0);
    }
    for (std::size_t begin = 0; begin < e.keys; begin += e.block_keys) {
      const std::size_t block = std::min(e.block_keys, e.keys - begin);
      const std::size_t rows = round_up(block, row_group);
      weights_and_factors<T>(e, s, begin, block, width, base_scale);
      product(Left<U>{reinterpret_cast<const Unit*>(s.weights_by_query), width / U::per, 1},
              Right<U>{s.gradient_depth, e.columns}, rows, e.columns, divide_up(count, U::per),
              add_to(s.value_sums + begin * e.columns, false));
      product(Left<U>{reinterpret_cast<const Unit*>(s.factors_by_query), width / U::per, 1},
              Right<U>{s.query_depth, e.columns}, rows, e.columns, divide_up(count, U::per),
              add_to(s.key_sums + begin * e.columns, false));
      product(Left<U>{s.factors, 1, width}, Right<U>{s.key_depth + begin / U::per * e.columns, e.columns},
              width, e.columns, divide_up(block, U::per), add_to(s.query_sums, begin == 0));
    }
    for (std::size_t n = 0; n < count; ++n) {
      unpack_row(s.query_sums + n * e.columns, e.head_dim, static_cast<A>(scale), head.dq.row(first + n));
    }
  }
  for (std::size_t j = 0; j < e.keys; ++j) {
    unpack_row(s.key_sums + j * e.columns, e.head_dim, static_cast<A>(scale), head.dk.row(j));
    unpack_row(s.value_sums + j * e.columns, e.head_dim, A(1), head.dv.row(j));
  }
}

}  // namespace

void attention_backward(const AttentionShape& shape, const Tokens& q, const Tokens& k, const Tokens& v,
                        const Tokens& out, const Tensor& log_sum_exp, const Tokens& out_gradient,
                        const Tokens& q_gradient, const Tokens& k_gradient, const Tokens& v_gradient) {
  dispatch_floating(q.tensor->dtype(), [&]<class T>(T) {
    const auto* const lse = log_sum_exp.data<arithmetic_t<T>>();
    for_each_head<T>(shape, [&](const Head<T>& head) {
      const BackwardOperands<T> operands{head.queries(q),
                                         head.keys(k),
                                         head.keys(v),
                                         head.queries(out),
                                         head.queries(out_gradient),
                                         head.queries(q_gradient),
                                         head.keys(k_gradient),
                                         head.keys(v_gradient),
                                         lse + head.row_of_scores()};
      backward_head(Extents<Units<T>>(shape, head.image), shape.scale, operands);
    });
  });
}

}  // namespace tessera::compute::host
