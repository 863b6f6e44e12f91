// Invariant: everything between the packed operands and the results of one image and head happens in scratch
// of the executing thread, sized so that a tile of scores stays in the first-level cache.
//
// Scores are kept transposed, [keys][queries]: one vector holds one key's scores for many queries, so maxima
// and sums over keys need no work across lanes, and the tile is at once the left operand of the products that
// follow. Keys are taken in blocks with a running maximum (Milakov and Gimelshein, "Online normalizer
// calculation for softmax", arXiv 1805.02867).

#include "compute/parallel.hpp"

#ifndef KOKKOS_ENABLE_CUDA

#include <algorithm>
#include <memory>
#include <new>

#include "compute/attention_kernels.hpp"
#include "compute/attention_tiles.hpp"

namespace tessera::compute::host {
namespace {

constexpr std::size_t query_block = 64;
constexpr std::size_t key_block = 128;

// Memory that a thread keeps between calls and cuts into arrays. Not the tensors' allocator: this outlives
// Kokkos.
class Scratch {
 public:
  explicit Scratch(std::size_t bytes) {
    thread_local std::unique_ptr<std::byte, Free> memory;
    thread_local std::size_t size = 0;
    if (size < bytes) {
      size = 0;
      memory.reset();
      memory.reset(static_cast<std::byte*>(::operator new(bytes, alignment)));
      size = bytes;
    }
    next_ = memory.get();
  }
  template <class T>
  T* take(std::size_t count) {
    T* result = reinterpret_cast<T*>(next_);
    next_ += padded<T>(count);
    return result;
  }
  template <class T>
  static std::size_t padded(std::size_t count) {
    return round_up(count * sizeof(T), 64);
  }

 private:
  static constexpr std::align_val_t alignment{64};
  struct Free {
    void operator()(std::byte* memory) const { ::operator delete(memory, alignment); }
  };
  std::byte* next_;
};

// One operand of one image and head: rows `stride` apart.
template <class T>
struct HeadRows {
  T* data;
  std::size_t stride;

  HeadRows(const Tokens& tokens, const AttentionShape& shape, std::int64_t count, std::size_t image,
           std::size_t head)
      : data(tokens.tensor->data<T>() + tokens.offset +
             static_cast<std::int64_t>(image) * count * tokens.row_stride +
             static_cast<std::int64_t>(head) * shape.head_dim),
        stride(static_cast<std::size_t>(tokens.row_stride)) {}
  [[nodiscard]] T* row(std::size_t n) const { return data + n * stride; }
};

// Rows of head_dim elements are too short, and too far apart, for the processor to foresee: the next head's
// are asked for while this one is worked on. They follow this head's in the same rows.
template <class T>
void prefetch_next_head(const HeadRows<T>& rows, std::size_t count, std::size_t head_dim) {
  constexpr std::size_t line = 64 / sizeof(T);
  for (std::size_t n = 0; n < count; ++n) {
    for (std::size_t d = 0; d < head_dim; d += line) __builtin_prefetch(rows.row(n) + head_dim + d, 0, 2);
  }
}

// The extents of one head, and their padded forms in scratch.
template <class A>
struct Extents {
  std::size_t queries, keys, head_dim;
  std::size_t columns;     // head_dim, padded
  std::size_t lane_count;  // queries of a full block, padded
  std::size_t key_rows;    // keys, padded
  std::size_t block_keys;  // keys of a full block
  std::size_t block_rows;  // the same, padded

  explicit Extents(const AttentionShape& shape)
      : queries(static_cast<std::size_t>(shape.queries)),
        keys(static_cast<std::size_t>(shape.keys)),
        head_dim(static_cast<std::size_t>(shape.head_dim)),
        columns(round_up(head_dim, lanes<A>)),
        lane_count(round_up(std::min(queries, query_block), std::max(lanes<A>, row_group))),
        key_rows(round_up(keys, row_group)),
        // Blocks of nearly equal size, so that no short one is left at the end.
        block_keys(round_up((keys + blocks() - 1) / blocks(), row_group)),
        block_rows(block_keys) {}
  // Whether a row takes part in so little arithmetic that waiting for it shows (backward; the forward's fewer
  // rows come in time by themselves).
  [[nodiscard]] bool short_of_work() const { return std::min(queries, keys) <= 128; }
  [[nodiscard]] std::size_t blocks() const { return (keys + key_block - 1) / key_block; }
};

// Per query, over the keys so far: the largest score, the sum of the weights relative to it, and the factor
// by which the last block shrank what came before it.
template <class A>
struct Running {
  A* largest;
  A* total;
  A* shrink;
};

// Turns a block's scores into weights. Several columns at once, since each is a chain of dependent maxima.
template <std::size_t Columns, class A>
TESSERA_INLINE void soften(A* tile, std::size_t width, std::size_t block, std::size_t column, bool start,
                           const Running<A>& running) {
  Vector<A> top[Columns];
  Vector<A> sum[Columns] = {};
  tile += column;
  for (std::size_t c = 0; c < Columns; ++c) {
    const std::size_t at = c * lanes<A>;
    top[c] = start ? load(tile + at) : load(running.largest + column + at);
  }
  for (std::size_t j = 0; j < block; ++j) {
    for (std::size_t c = 0; c < Columns; ++c) top[c] = larger(load(tile + j * width + c * lanes<A>), top[c]);
  }
  for (std::size_t j = 0; j < block; ++j) {
    for (std::size_t c = 0; c < Columns; ++c) {
      A* place = tile + j * width + c * lanes<A>;
      const Vector<A> weight = Power<A>::of(load(place) - top[c]);
      store(place, weight);
      sum[c] += weight;
    }
  }
  for (std::size_t c = 0; c < Columns; ++c) {
    const std::size_t at = column + c * lanes<A>;
    if (!start) {
      const Vector<A> factor = Power<A>::of(load(running.largest + at) - top[c]);
      store(running.shrink + at, factor);
      sum[c] += factor * load(running.total + at);
    }
    store(running.largest + at, top[c]);
    store(running.total + at, sum[c]);
  }
}

template <class A>
TESSERA_INLINE void soften_block(A* tile, std::size_t width, std::size_t block, bool start,
                                 const Running<A>& running) {
  std::size_t column = 0;
  for (; column + 4 * lanes<A> <= width; column += 4 * lanes<A>) {
    soften<4>(tile, width, block, column, start, running);
  }
  for (; column < width; column += lanes<A>) soften<1>(tile, width, block, column, start, running);
}

template <class T, class A = arithmetic_t<T>>
void forward_head(const Extents<A>& e, double scale, const HeadRows<T>& q, const HeadRows<T>& k,
                  const HeadRows<T>& v, const HeadRows<T>& out, A* log_sum_exp) {
  Scratch scratch(2 * Scratch::padded<A>(e.key_rows * e.columns) +
                  Scratch::padded<A>(e.columns * e.lane_count) +
                  Scratch::padded<A>(e.block_rows * e.lane_count) +
                  Scratch::padded<A>(e.lane_count * e.columns) + 3 * Scratch::padded<A>(e.lane_count));
  A* keys = scratch.take<A>(e.key_rows * e.columns);
  A* values = scratch.take<A>(e.key_rows * e.columns);
  A* query_columns = scratch.take<A>(e.columns * e.lane_count);
  A* weights = scratch.take<A>(e.block_rows * e.lane_count);
  A* sums = scratch.take<A>(e.lane_count * e.columns);
  A* largest = scratch.take<A>(e.lane_count);
  A* total = scratch.take<A>(e.lane_count);
  A* shrink = scratch.take<A>(e.lane_count);
  pack_rows(k.data, k.stride, e.keys, e.key_rows, e.head_dim, A(1), keys, e.columns);
  pack_rows(v.data, v.stride, e.keys, e.key_rows, e.head_dim, A(1), values, e.columns);

  for (std::size_t first = 0; first < e.queries; first += query_block) {
    const std::size_t count = std::min(query_block, e.queries - first);
    const std::size_t width = round_up(count, std::max(lanes<A>, row_group));
    pack_transposed(q.row(first), q.stride, count, e.head_dim, static_cast<A>(scale * Power<A>::scale),
                    query_columns, width);
    for (std::size_t begin = 0; begin < e.keys; begin += e.block_keys) {
      const std::size_t block = std::min(e.block_keys, e.keys - begin);
      product(
          Left<A>{keys + begin * e.columns, e.columns, 1}, Right<A>{query_columns, width},
          round_up(block, row_group), width, e.head_dim,
          [=](std::size_t row, std::size_t column, const Vector<A>& sum)
              __attribute__((always_inline)) { store(weights + row * width + column, sum); });
      const Running<A> running{largest, total, shrink};
      soften_block(weights, width, block, begin == 0, running);
      const bool start = begin == 0;
      product(
          Left<A>{weights, 1, width}, Right<A>{values + begin * e.columns, e.columns}, width, e.columns,
          block,
          [=](std::size_t row, std::size_t column, const Vector<A>& sum) __attribute__((always_inline)) {
            A* place = sums + row * e.columns + column;
            store(place, start ? sum : sum + shrink[row] * load(place));
          });
    }
    for (std::size_t column = 0; column < width; column += lanes<A>) {
      const Vector<A> sum = load(total + column);
      store(total + column, A(1) / sum);
      store(largest + column,
            (load(largest + column) + Power<A>::log(sum)) * static_cast<A>(1 / Power<A>::scale));
    }
    std::copy_n(largest, count, log_sum_exp + first);
    for (std::size_t n = 0; n < count; ++n) {
      unpack_row(sums + n * e.columns, e.head_dim, total[n], out.row(first + n));
    }
  }
}

template <class T, class A = arithmetic_t<T>>
void backward_head(const Extents<A>& e, double scale, const HeadRows<T>& q, const HeadRows<T>& k,
                   const HeadRows<T>& v, const HeadRows<T>& out, const A* log_sum_exp, const HeadRows<T>& g,
                   const HeadRows<T>& dq, const HeadRows<T>& dk, const HeadRows<T>& dv) {
  const std::size_t key_size = e.key_rows * e.columns;
  const std::size_t query_size = e.columns * e.lane_count;
  const std::size_t tile_size = e.block_rows * e.lane_count;
  Scratch scratch(4 * Scratch::padded<A>(key_size) + 5 * Scratch::padded<A>(query_size) +
                  2 * Scratch::padded<A>(tile_size) + 2 * Scratch::padded<A>(e.lane_count));
  A* keys = scratch.take<A>(key_size);
  A* values = scratch.take<A>(key_size);
  A* key_sums = scratch.take<A>(key_size);
  A* value_sums = scratch.take<A>(key_size);
  A* query_columns = scratch.take<A>(query_size);
  A* gradient_columns = scratch.take<A>(query_size);
  A* queries = scratch.take<A>(query_size);
  A* gradients = scratch.take<A>(query_size);
  A* query_sums = scratch.take<A>(query_size);
  A* weights = scratch.take<A>(tile_size);
  A* factors = scratch.take<A>(tile_size);
  A* shift = scratch.take<A>(e.lane_count);
  A* mean = scratch.take<A>(e.lane_count);
  pack_rows(k.data, k.stride, e.keys, e.key_rows, e.head_dim, A(1), keys, e.columns);
  pack_rows(v.data, v.stride, e.keys, e.key_rows, e.head_dim, A(1), values, e.columns);
  std::fill_n(key_sums, key_size, A(0));
  std::fill_n(value_sums, key_size, A(0));
  if (e.short_of_work()) {
    for (const auto* rows : {&k, &v, &dk, &dv}) prefetch_next_head(*rows, e.keys, e.head_dim);
    for (const auto* rows : {&q, &g, &out, &dq}) prefetch_next_head(*rows, e.queries, e.head_dim);
  }

  for (std::size_t first = 0; first < e.queries; first += query_block) {
    const std::size_t count = std::min(query_block, e.queries - first);
    const std::size_t width = round_up(count, std::max(lanes<A>, row_group));
    pack_transposed(q.row(first), q.stride, count, e.head_dim, static_cast<A>(scale * Power<A>::scale),
                    query_columns, width);
    pack_transposed(g.row(first), g.stride, count, e.head_dim, A(1), gradient_columns, width);
    pack_rows(q.row(first), q.stride, count, count, e.head_dim, A(1), queries, e.columns);
    pack_rows(g.row(first), g.stride, count, count, e.head_dim, A(1), gradients, e.columns);
    for (std::size_t n = 0; n < width; ++n) {
      A sum = 0;
      if (n < count) {
        const T* value = out.row(first + n);
        const A* gradient = gradients + n * e.columns;
#pragma omp simd reduction(+ : sum)
        for (std::size_t d = 0; d < e.head_dim; ++d) sum += static_cast<A>(value[d]) * gradient[d];
      }
      mean[n] = sum;
      shift[n] = n < count ? log_sum_exp[first + n] * static_cast<A>(Power<A>::scale) : A(0);
    }
    for (std::size_t begin = 0; begin < e.keys; begin += e.block_keys) {
      const std::size_t block = std::min(e.block_keys, e.keys - begin);
      const std::size_t rows = round_up(block, row_group);
      const std::size_t at = begin * e.columns;
      product(
          Left<A>{keys + at, e.columns, 1}, Right<A>{query_columns, width}, rows, width, e.head_dim,
          [=](std::size_t row, std::size_t column, const Vector<A>& sum) __attribute__((always_inline)) {
            store(weights + row * width + column, Power<A>::of(sum - load(shift + column)));
          });
      product(
          Left<A>{values + at, e.columns, 1}, Right<A>{gradient_columns, width}, rows, width, e.head_dim,
          [=](std::size_t row, std::size_t column, const Vector<A>& sum) __attribute__((always_inline)) {
            const std::size_t place = row * width + column;
            store(factors + place, load(weights + place) * (sum - load(mean + column)));
          });
      const auto add_to = [&](A* sums) {
        return [ =, &e ](std::size_t row, std::size_t column, const Vector<A>& sum)
            __attribute__((always_inline)) {
          A* place = sums + row * e.columns + column;
          store(place, load(place) + sum);
        };
      };
      product(Left<A>{weights, width, 1}, Right<A>{gradients, e.columns}, rows, e.columns, count,
              add_to(value_sums + at));
      product(Left<A>{factors, width, 1}, Right<A>{queries, e.columns}, rows, e.columns, count,
              add_to(key_sums + at));
      const bool start = begin == 0;
      product(
          Left<A>{factors, 1, width}, Right<A>{keys + at, e.columns}, width, e.columns, block,
          [=](std::size_t row, std::size_t column, const Vector<A>& sum) __attribute__((always_inline)) {
            A* place = query_sums + row * e.columns + column;
            store(place, start ? sum : load(place) + sum);
          });
    }
    for (std::size_t n = 0; n < count; ++n) {
      unpack_row(query_sums + n * e.columns, e.head_dim, static_cast<A>(scale), dq.row(first + n));
    }
  }
  for (std::size_t j = 0; j < e.keys; ++j) {
    unpack_row(key_sums + j * e.columns, e.head_dim, static_cast<A>(scale), dk.row(j));
    unpack_row(value_sums + j * e.columns, e.head_dim, A(1), dv.row(j));
  }
}

// body(image, head) for every pair, on the host's threads.
template <class Body>
void for_each_head(const AttentionShape& shape, const Body& body) {
  using Space = Kokkos::DefaultHostExecutionSpace;
  const std::size_t heads = static_cast<std::size_t>(shape.heads);
  Kokkos::parallel_for(Kokkos::RangePolicy<Space, Kokkos::IndexType<std::size_t>>(
                           0, static_cast<std::size_t>(shape.batch) * heads),
                       [=](std::size_t item) { body(item / heads, item % heads); });
}

}  // namespace

void attention_forward(const AttentionShape& shape, const Tokens& q, const Tokens& k, const Tokens& v,
                       const Tokens& out, const Tensor& log_sum_exp) {
  dispatch_floating(q.tensor->dtype(), [&]<class T>(T) {
    using A = arithmetic_t<T>;
    const Extents<A> extents(shape);
    for_each_head(shape, [&](std::size_t image, std::size_t head) {
      const auto rows = [&](const Tokens& tokens, std::int64_t count) {
        return HeadRows<T>(tokens, shape, count, image, head);
      };
      forward_head<T>(
          extents, shape.scale, rows(q, shape.queries), rows(k, shape.keys), rows(v, shape.keys),
          rows(out, shape.queries),
          log_sum_exp.data<A>() + (image * static_cast<std::size_t>(shape.heads) + head) * extents.queries);
    });
  });
}

void attention_backward(const AttentionShape& shape, const Tokens& q, const Tokens& k, const Tokens& v,
                        const Tokens& out, const Tensor& log_sum_exp, const Tokens& out_gradient,
                        const Tokens& q_gradient, const Tokens& k_gradient, const Tokens& v_gradient) {
  dispatch_floating(q.tensor->dtype(), [&]<class T>(T) {
    using A = arithmetic_t<T>;
    const Extents<A> extents(shape);
    for_each_head(shape, [&](std::size_t image, std::size_t head) {
      const auto rows = [&](const Tokens& tokens, std::int64_t count) {
        return HeadRows<T>(tokens, shape, count, image, head);
      };
      backward_head<T>(
          extents, shape.scale, rows(q, shape.queries), rows(k, shape.keys), rows(v, shape.keys),
          rows(out, shape.queries),
          log_sum_exp.data<A>() + (image * static_cast<std::size_t>(shape.heads) + head) * extents.queries,
          rows(out_gradient, shape.queries), rows(q_gradient, shape.queries), rows(k_gradient, shape.keys),
          rows(v_gradient, shape.keys));
    });
  });
}

}  // namespace tessera::compute::host

#endif
