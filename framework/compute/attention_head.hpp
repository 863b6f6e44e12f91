#pragma once
// Invariant: everything between the packed operands and the results of one image and head happens in scratch
// of the executing thread, sized so that a tile of scores stays in the first-level cache.
//
// Scores are kept transposed, [keys][queries]: one vector holds one key's scores for many queries, so maxima
// and sums over keys need no work across lanes, and the tile is at once the left operand of the products that
// follow. For host sources only.

#include <algorithm>
#include <memory>
#include <new>

#include "compute/attention.hpp"
#include "compute/attention_tiles.hpp"
#include "tensor/space.hpp"

namespace tessera::compute::host {

inline constexpr std::size_t query_block = 64;
inline constexpr std::size_t key_block = 128;

// Cuts one stretch of memory into aligned arrays; without memory it only counts.
class Cutter {
 public:
  explicit Cutter(std::byte* memory) : memory_(memory) {}
  template <class T>
  T* take(std::size_t count) {
    T* result = memory_ == nullptr ? nullptr : reinterpret_cast<T*>(memory_ + bytes_);
    bytes_ += round_up(count * sizeof(T), 64);
    return result;
  }
  [[nodiscard]] std::size_t bytes() const { return bytes_; }

 private:
  std::byte* memory_;
  std::size_t bytes_ = 0;
};

// Memory that a thread keeps between calls. Not the tensors' allocator: this outlives Kokkos.
inline std::byte* thread_memory(std::size_t bytes) {
  static constexpr std::align_val_t alignment{64};
  struct Free {
    void operator()(std::byte* memory) const { ::operator delete(memory, alignment); }
  };
  thread_local std::unique_ptr<std::byte, Free> memory;
  thread_local std::size_t size = 0;
  if (size < bytes) {
    size = 0;
    memory.reset();
    memory.reset(static_cast<std::byte*>(::operator new(bytes, alignment)));
    size = bytes;
  }
  return memory.get();
}

// Arrays is made twice: to count its bytes, then in memory.
template <class Arrays, class Extents>
Arrays in_scratch(const Extents& extents) {
  Cutter count(nullptr);
  [[maybe_unused]] const Arrays counted(count, extents);
  Cutter cut(thread_memory(count.bytes()));
  return Arrays(cut, extents);
}

// One operand of one image and head: rows `stride` apart, and their statistics where they enter normalised.
template <class T>
struct HeadRows {
  using A = arithmetic_t<T>;
  T* data;
  std::size_t stride;
  const A* mean = nullptr;
  const A* rstd = nullptr;
  std::size_t statistics_stride = 1;

  HeadRows(T* rows, std::size_t row_stride) : data(rows), stride(row_stride) {}
  // The rows from `first` on.
  HeadRows(const Tokens& tokens, const AttentionShape& shape, std::int64_t first, std::size_t head)
      : HeadRows(tokens.tensor->data<T>() + tokens.offset + first * tokens.row_stride +
                     static_cast<std::int64_t>(head) * shape.head_dim,
                 static_cast<std::size_t>(tokens.row_stride)) {
    if (tokens.mean == nullptr) return;
    statistics_stride = tokens.each_head ? static_cast<std::size_t>(shape.heads) : 1;
    const std::size_t at =
        static_cast<std::size_t>(first) * statistics_stride + (tokens.each_head ? head : 0);
    mean = tokens.mean->data<A>() + at;
    rstd = tokens.rstd->data<A>() + at;
  }
  [[nodiscard]] T* row(std::size_t n) const { return data + n * stride; }
};

// The rows as they enter the products: themselves, or normalised in `memory`.
template <class T>
HeadRows<T> entering(const HeadRows<T>& rows, std::size_t count, std::size_t head_dim, T* memory) {
  if (rows.mean == nullptr) return rows;
  constexpr std::size_t step = lanes<arithmetic_t<T>>;
  const HeadRows<T> result(memory, head_dim);
  for (std::size_t n = 0; n < count; ++n) {
    const auto mean = rows.mean[n * rows.statistics_stride];
    const auto rstd = rows.rstd[n * rows.statistics_stride];
    for (std::size_t d = 0; d < head_dim; d += step) {
      store_some(result.row(n) + d, (load_some(rows.row(n) + d, head_dim - d) - mean) * rstd, head_dim - d);
    }
  }
  return result;
}

// Rows of head_dim elements are too short, and too far apart, for the processor to foresee: the next head's
// are asked for while this one is worked on. They follow this head's in the same rows.
template <class T>
void prefetch_next_head(const HeadRows<T>& rows, std::size_t count, std::size_t head_dim) {
  constexpr std::size_t line = 64 / sizeof(T);
  for (std::size_t n = 0; n < count; ++n) {
    for (std::size_t d = 0; d < head_dim; d += line) __builtin_prefetch(rows.row(n) + head_dim + d, 0, 2);
  }
}

// The extents of one head, and their padded forms in scratch: in units where a unit lies along them.
template <class U>
struct Extents {
  static constexpr std::size_t vector = lanes<typename U::Unit>;

  std::size_t queries, keys, head_dim;
  std::size_t depth;       // head_dim in units
  std::size_t row_units;   // the same, padded: the stride of rows packed along head_dim
  std::size_t columns;     // head_dim, padded: the stride of rows packed across it
  std::size_t key_rows;    // keys, padded
  std::size_t block_keys;  // keys of a full block
  std::size_t widest;      // queries of a full block, padded

  Extents(const AttentionShape& shape, std::int64_t image)
      : queries(static_cast<std::size_t>(shape.queries)),
        keys(static_cast<std::size_t>(shape.keys_of(image))),
        head_dim(static_cast<std::size_t>(shape.head_dim)),
        depth(divide_up(head_dim, U::per)),
        row_units(round_up(depth, vector)),
        columns(round_up(head_dim, vector)),
        key_rows(round_up(keys, row_group)),
        // Blocks of nearly equal size, so that no short one is left at the end.
        block_keys(round_up(divide_up(keys, divide_up(keys, key_block)), row_group)),
        widest(padded_queries(std::min(queries, query_block))) {}

  static std::size_t padded_queries(std::size_t count) {
    return round_up(count, std::max(vector, row_group));
  }
  // Whether a row takes part in so little arithmetic that waiting for it shows (backward; the forward's fewer
  // rows come in time by themselves).
  [[nodiscard]] bool short_of_work() const { return std::min(queries, keys) <= 128; }
};

// One head of one image: where its rows are.
template <class T>
struct Head {
  const AttentionShape& shape;
  std::int64_t image;
  std::size_t head;

  [[nodiscard]] HeadRows<T> queries(const Tokens& tokens) const {
    return HeadRows<T>(tokens, shape, image * shape.queries, head);
  }
  [[nodiscard]] HeadRows<T> keys(const Tokens& tokens) const {
    return HeadRows<T>(tokens, shape, shape.first_key(image), head);
  }
  // Of the first query in [batch, heads, queries].
  [[nodiscard]] std::int64_t row_of_scores() const {
    return (image * shape.heads + static_cast<std::int64_t>(head)) * shape.queries;
  }
};

// body(Head) for every image and head, on the host's threads.
template <class T, class Body>
void for_each_head(const AttentionShape& shape, const Body& body) {
  using Space = Kokkos::DefaultHostExecutionSpace;
  const std::size_t heads = static_cast<std::size_t>(shape.heads);
  Kokkos::parallel_for(
      Kokkos::RangePolicy<Space, Kokkos::IndexType<std::size_t>>(
          0, static_cast<std::size_t>(shape.batch) * heads),
      [&](std::size_t item) {
        body(Head<T>{shape, static_cast<std::int64_t>(item / heads), item % heads});
      });
}

}  // namespace tessera::compute::host
