#pragma once
// Invariant: operands are packed, 64-byte aligned scratch whose row counts are padded to multiples of
// `row_group` and whose strides are multiples of a vector, so that no kernel has a ragged edge. What lies in
// the padding may be anything: it never reaches a result. For host sources only.

#include "compute/attention_vectors.hpp"

namespace tessera::compute {

inline constexpr std::size_t row_group = 8;

TESSERA_INLINE std::size_t round_up(std::size_t value, std::size_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

/// Element (row, depth) of the left operand lies at data + row*row_step + depth*depth_step.
template <class T>
struct Left {
  const T* data;
  std::size_t row_step;
  std::size_t depth_step;
};

/// The right operand, [depth][columns] with rows of `stride` elements.
template <class T>
struct Right {
  const T* data;
  std::size_t stride;
};

// Rows x Columns vectors of sums stay in registers over the whole depth: each step loads `Columns` vectors
// and multiplies them by `Rows` broadcast scalars.
template <std::size_t Rows, std::size_t Columns, class T, class Take>
TESSERA_INLINE void product_tile(const Left<T>& left, const Right<T>& right, std::size_t depth,
                                 std::size_t row, std::size_t column, const Take& take) {
  Vector<T> sums[Rows][Columns] = {};
  // Two starting points: with one, eight rows need more strides than there are integer registers.
  const T* a = left.data + row * left.row_step;
  const T* a4 = a + 4 * left.row_step;
  hold(a4);
  const T* b = right.data + column;
  for (std::size_t k = 0; k < depth; ++k) {
    Vector<T> values[Columns];
#pragma GCC unroll 8
    for (std::size_t c = 0; c < Columns; ++c) {
      values[c] = load(b + c * lanes<T>);
      hold(values[c]);
    }
#pragma GCC unroll 8
    for (std::size_t r = 0; r < Rows; ++r) {
      const T factor = r < 4 ? a[r * left.row_step] : a4[(r - 4) * left.row_step];
#pragma GCC unroll 8
      for (std::size_t c = 0; c < Columns; ++c) sums[r][c] += factor * values[c];
    }
    a += left.depth_step;
    a4 += left.depth_step;
    b += right.stride;
  }
#pragma GCC unroll 8
  for (std::size_t r = 0; r < Rows; ++r) {
#pragma GCC unroll 8
    for (std::size_t c = 0; c < Columns; ++c) take(row + r, column + c * lanes<T>, sums[r][c]);
  }
}

template <std::size_t Rows, std::size_t Columns, class T, class Take>
TESSERA_INLINE void product_column(const Left<T>& left, const Right<T>& right, std::size_t rows,
                                   std::size_t depth, std::size_t column, const Take& take) {
  for (std::size_t row = 0; row < rows; row += Rows) {
    product_tile<Rows, Columns>(left, right, depth, row, column, take);
  }
}

/// take(row, column, sum) for every vector of left x right; `rows` is a multiple of row_group, `columns` of a
/// vector.
template <class T, class Take>
TESSERA_INLINE void product(const Left<T>& left, const Right<T>& right, std::size_t rows, std::size_t columns,
                            std::size_t depth, const Take& take) {
  std::size_t column = 0;
  if constexpr (many_registers) {
    for (; column + 4 * lanes<T> <= columns; column += 4 * lanes<T>) {
      product_column<4, 4>(left, right, rows, depth, column, take);
    }
    if (column + 3 * lanes<T> <= columns) {
      product_column<8, 3>(left, right, rows, depth, column, take);
      column += 3 * lanes<T>;
    }
    if (column + 2 * lanes<T> <= columns) {
      product_column<8, 2>(left, right, rows, depth, column, take);
      column += 2 * lanes<T>;
    }
  } else {
    for (; column + 2 * lanes<T> <= columns; column += 2 * lanes<T>) {
      product_column<4, 2>(left, right, rows, depth, column, take);
    }
  }
  if (column + lanes<T> <= columns) product_column<8, 1>(left, right, rows, depth, column, take);
}

/// Rows [0, count) of `width` elements, `from_stride` apart, to rows of `stride` elements: factor * source,
/// zeros up to the stride and in the rows up to `padded`.
template <class S, class A = arithmetic_t<S>>
TESSERA_INLINE void pack_rows(const S* from, std::size_t from_stride, std::size_t count, std::size_t padded,
                              std::size_t width, A factor, A* to, std::size_t stride) {
  for (std::size_t n = 0; n < count; ++n) {
    for (std::size_t d = 0; d < stride; d += lanes<A>) {
      const std::size_t left = d < width ? width - d : 0;
      store(to + n * stride + d, factor * load_some(from + n * from_stride + d, left));
    }
  }
  for (std::size_t i = count * stride; i < padded * stride; i += lanes<A>) store(to + i, Vector<A>{});
}

/// The same rows transposed: element (n, d) to to[d*stride + n]. Rows up to `stride` (a multiple of a vector)
/// become zero columns; `to` has room for width rounded up to a vector of rows.
template <class S, class A = arithmetic_t<S>>
TESSERA_INLINE void pack_transposed(const S* from, std::size_t from_stride, std::size_t count,
                                    std::size_t width, A factor, A* to, std::size_t stride) {
  for (std::size_t n = 0; n < stride; n += lanes<A>) {
    for (std::size_t d = 0; d < width; d += lanes<A>) {
      Vector<A> square[lanes<A>];
#pragma GCC unroll 16
      for (std::size_t i = 0; i < lanes<A>; ++i) {
        square[i] =
            n + i < count ? factor * load_some(from + (n + i) * from_stride + d, width - d) : Vector<A>{};
      }
      transpose<A>(square);
#pragma GCC unroll 16
      for (std::size_t i = 0; i < lanes<A>; ++i) store(to + (d + i) * stride + n, square[i]);
    }
  }
}

/// The first `width` of each row of scratch back to the element type: factor[n] * source.
template <class S, class A = arithmetic_t<S>>
TESSERA_INLINE void unpack_row(const A* from, std::size_t width, A factor, S* to) {
  for (std::size_t d = 0; d < width; d += lanes<A>) store_some(to + d, factor * load(from + d), width - d);
}

}  // namespace tessera::compute
