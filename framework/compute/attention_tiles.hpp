#pragma once
// Invariant: operands are packed, 64-byte aligned scratch whose row counts are padded to multiples of
// `row_group` and whose strides are multiples of a vector, so that no kernel has a ragged edge. What lies in
// the padding never reaches a result, except along the depth, where it is zero. For host sources only.

#include "compute/attention_vectors.hpp"

namespace tessera::compute {

inline constexpr std::size_t row_group = 8;

TESSERA_INLINE std::size_t round_up(std::size_t value, std::size_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}
TESSERA_INLINE std::size_t divide_up(std::size_t value, std::size_t divisor) {
  return (value + divisor - 1) / divisor;
}

/// Products of elements of type A, one per lane and step of the depth.
template <class A>
struct Single {
  using Unit = A;  ///< what lies in a lane
  using Sum = A;
  static constexpr std::size_t per = 1;  ///< elements in a unit, neighbours along the depth

  TESSERA_INLINE static void multiply_add(Vector<Sum>& sum, Unit factor, const Vector<Unit>& values) {
    sum += factor * values;
  }
  /// `count` elements of a row, neighbours along the depth.
  template <class S>
  TESSERA_INLINE static Vector<Unit> load_along(const S* from, std::size_t count) {
    return load_some(from, count);
  }
  /// The same `count` columns of `per` rows, which are neighbours along the depth; a row may be missing.
  template <class S>
  TESSERA_INLINE static Vector<Unit> load_across(const S* first, const S*, std::size_t count) {
    return load_some(first, count);
  }
  TESSERA_INLINE static void store_depth(A* to, const Vector<Sum> (&values)[per]) { store(to, values[0]); }
};

#if defined(__AVX512BF16__)
/// Products of pairs of bfloat16, two per lane and step, summed in float32.
struct Pair {
  using Unit = std::uint32_t;
  using Sum = float;
  static constexpr std::size_t per = 2;

  TESSERA_INLINE static void multiply_add(Vector<Sum>& sum, Unit factor, const Vector<Unit>& values) {
    sum = _mm512_dpbf16_ps(sum, (__m512bh)(Vector<Unit>{} + factor), (__m512bh)values);
  }
  TESSERA_INLINE static Vector<Unit> load_along(const bfloat16* from, std::size_t count) {
    Vector<Unit> value{};
    if (count >= 2 * lanes<Unit>) {
      __builtin_memcpy(&value, from, sizeof(value));
    } else {
      value = (Vector<Unit>)_mm512_maskz_loadu_epi16((std::uint32_t{1} << count) - 1, from);
    }
    return value;
  }
  TESSERA_INLINE static Vector<Unit> load_across(const bfloat16* first, const bfloat16* second,
                                                 std::size_t count) {
    const auto low = cast<Unit>(load_some(first, count)) >> 16;
    return second == nullptr ? low : cast<Unit>(load_some(second, count)) | low;
  }
  template <class To>
  TESSERA_INLINE static void store_depth(To* to, const Vector<Sum> (&values)[per]) {
    static_assert(sizeof(To) == sizeof(Unit));
    typedef std::uint16_t Halves __attribute__((vector_size(64)));
    const auto apart = (Halves)_mm512_maskz_cvtne2ps_pbh(0xffffffff, values[1], values[0]);
    const Halves joined = interleave(apart, std::make_index_sequence<32>());
    __builtin_memcpy(to, &joined, sizeof(joined));
  }

 private:
  template <class V, std::size_t... I>
  TESSERA_INLINE static V interleave(V v, std::index_sequence<I...>) {
    return __builtin_shufflevector(v, v, (I % 2 * 16 + I / 2)...);
  }
};
template <class T>
struct UnitsOf {
  using type = Single<T>;
};
template <>
struct UnitsOf<bfloat16> {
  using type = Pair;
};
#else
template <class T>
struct UnitsOf {
  using type = Single<arithmetic_t<T>>;
};
#endif
/// How elements of type T enter products on this processor.
template <class T>
using Units = typename UnitsOf<T>::type;

/// Unit (row, depth) of the left operand lies at data + row*row_step + depth*depth_step.
template <class U>
struct Left {
  const typename U::Unit* data;
  std::size_t row_step;
  std::size_t depth_step;
};

/// The right operand, [depth][columns] units with rows of `stride`.
template <class U>
struct Right {
  const typename U::Unit* data;
  std::size_t stride;
};

// Rows x Columns vectors of sums stay in registers over the whole depth: each step loads `Columns` vectors
// and multiplies them by `Rows` broadcast units.
template <class U, std::size_t Rows, std::size_t Columns, class Take>
TESSERA_INLINE void product_tile(const Left<U>& left, const Right<U>& right, std::size_t depth,
                                 std::size_t row, std::size_t column, const Take& take) {
  using Unit = typename U::Unit;
  constexpr std::size_t step = lanes<Unit>;
  Vector<typename U::Sum> sums[Rows][Columns] = {};
  // Two starting points: with one, eight rows need more strides than there are integer registers.
  const Unit* a = left.data + row * left.row_step;
  const Unit* a4 = a + 4 * left.row_step;
  hold(a4);
  const Unit* b = right.data + column;
  for (std::size_t k = 0; k < depth; ++k) {
    Vector<Unit> values[Columns];
#pragma GCC unroll 8
    for (std::size_t c = 0; c < Columns; ++c) {
      values[c] = load(b + c * step);
      hold(values[c]);
    }
#pragma GCC unroll 8
    for (std::size_t r = 0; r < Rows; ++r) {
      const Unit factor = r < 4 ? a[r * left.row_step] : a4[(r - 4) * left.row_step];
#pragma GCC unroll 8
      for (std::size_t c = 0; c < Columns; ++c) U::multiply_add(sums[r][c], factor, values[c]);
    }
    a += left.depth_step;
    a4 += left.depth_step;
    b += right.stride;
  }
#pragma GCC unroll 8
  for (std::size_t r = 0; r < Rows; r += 2) {
#pragma GCC unroll 8
    for (std::size_t c = 0; c < Columns; ++c) {
      const Vector<typename U::Sum> both[2] = {sums[r][c], sums[r + 1][c]};
      take(row + r, column + c * step, both);
    }
  }
}

template <class U, std::size_t Rows, std::size_t Columns, class Take>
TESSERA_INLINE void product_columns(const Left<U>& left, const Right<U>& right, std::size_t rows,
                                    std::size_t columns, std::size_t depth, std::size_t& column,
                                    const Take& take) {
  constexpr std::size_t width = Columns * lanes<typename U::Unit>;
  for (; column + width <= columns; column += width) {
    for (std::size_t row = 0; row < rows; row += Rows) {
      product_tile<U, Rows, Columns>(left, right, depth, row, column, take);
    }
  }
}

/// take(row, column, sums) for every vector of left x right in the rows `row` and `row` + 1; `rows` is a
/// multiple of row_group, `columns` of a vector.
template <class U, class Take>
TESSERA_INLINE void product(const Left<U>& left, const Right<U>& right, std::size_t rows, std::size_t columns,
                            std::size_t depth, const Take& take) {
  std::size_t column = 0;
  if constexpr (many_registers) {
    product_columns<U, 4, 4>(left, right, rows, columns, depth, column, take);
    product_columns<U, 8, 3>(left, right, rows, columns, depth, column, take);
    product_columns<U, 8, 2>(left, right, rows, columns, depth, column, take);
  } else {
    product_columns<U, 4, 2>(left, right, rows, columns, depth, column, take);
  }
  product_columns<U, 8, 1>(left, right, rows, columns, depth, column, take);
}

/// Rows [0, count) of `width` elements, `from_stride` apart, as rows of `stride` units with the width as
/// depth, zeros after them; rows from `count` to `padded` are zero.
template <class U, class S>
TESSERA_INLINE void pack_rows(const S* from, std::size_t from_stride, std::size_t count, std::size_t padded,
                              std::size_t width, typename U::Unit* to, std::size_t stride) {
  using Unit = typename U::Unit;
  for (std::size_t n = 0; n < count; ++n) {
    for (std::size_t d = 0; d < stride; d += lanes<Unit>) {
      const std::size_t at = U::per * d;
      store(to + n * stride + d, U::load_along(from + n * from_stride + at, at < width ? width - at : 0));
    }
  }
  for (std::size_t i = count * stride; i < padded * stride; i += lanes<Unit>) store(to + i, Vector<Unit>{});
}

/// The same rows transposed, [width as depth][stride]: the right operand whose columns they are. Rows up to
/// `stride` (a multiple of a vector) are zero columns; `to` has room for the depth rounded up to a vector.
template <class U, class S>
TESSERA_INLINE void pack_transposed(const S* from, std::size_t from_stride, std::size_t count,
                                    std::size_t width, typename U::Unit* to, std::size_t stride) {
  using Unit = typename U::Unit;
  for (std::size_t n = 0; n < stride; n += lanes<Unit>) {
    for (std::size_t d = 0; U::per * d < width; d += lanes<Unit>) {
      Vector<Unit> square[lanes<Unit>];
      const std::size_t at = U::per * d;
#pragma GCC unroll 16
      for (std::size_t i = 0; i < lanes<Unit>; ++i) {
        square[i] =
            n + i < count ? U::load_along(from + (n + i) * from_stride + at, width - at) : Vector<Unit>{};
      }
      transpose<Unit>(square);
#pragma GCC unroll 16
      for (std::size_t i = 0; i < lanes<Unit>; ++i) store(to + (d + i) * stride + n, square[i]);
    }
  }
}

/// The same rows as the right operand whose depth they are, [count as depth][stride], with zero columns from
/// `width` to `stride`.
template <class U, class S>
TESSERA_INLINE void pack_depth(const S* from, std::size_t from_stride, std::size_t count, std::size_t width,
                               typename U::Unit* to, std::size_t stride) {
  for (std::size_t n = 0; n < count; n += U::per) {
    const S* first = from + n * from_stride;
    const S* second = n + 1 < count ? first + from_stride : nullptr;
    for (std::size_t d = 0; d < stride; d += lanes<typename U::Unit>) {
      const std::size_t left = d < width ? width - d : 0;
      store(to + n / U::per * stride + d,
            U::load_across(first + d, second == nullptr ? second : second + d, left));
    }
  }
}

/// The first `width` of a row of sums, times `factor`, back to the element type.
template <class S, class A = arithmetic_t<S>>
TESSERA_INLINE void unpack_row(const A* from, std::size_t width, A factor, S* to) {
  for (std::size_t d = 0; d < width; d += lanes<A>) store_some(to + d, factor * load(from + d), width - d);
}

}  // namespace tessera::compute
