#include "ops/rows.hpp"

#include "compute/parallel.hpp"
#include "ops/column_sum.hpp"
#include "ops/dispatch.hpp"
#include "ops/typed_slot.hpp"
#include "ops/validate.hpp"

namespace tessera::ops {
namespace {

// x [batch, x_rows, width] and a table [rows, width], x_rows being rows or 1.
struct TableSum {
  std::size_t batch;
  std::size_t x_rows;
  std::size_t rows;
  std::size_t width;
};

template <class X, class T>
void add_table_forward(const TableSum& sum, const X* x, const T* table, X* y) {
  using A = arithmetic_t<X>;
  const TableSum s = sum;
  parallel_rows(
      static_cast<std::int64_t>(s.batch * s.rows), KOKKOS_LAMBDA(std::size_t row) {
        const X* xr = x + (s.x_rows == s.rows ? row : row / s.rows) * s.width;
        const T* tr = table + row % s.rows * s.width;
        X* yr = y + row * s.width;
#pragma omp simd
        for (std::size_t i = 0; i < s.width; ++i)
          put<false>(yr[i], static_cast<A>(xr[i]) + static_cast<A>(tr[i]));
      });
}

// The gradient of a row that counted for every row of the table.
template <bool add, class X>
void broadcast_backward(const TableSum& sum, const X* dy, X* dx) {
  using A = arithmetic_t<X>;
  const TableSum s = sum;
  parallel_elements(
      static_cast<std::int64_t>(s.batch * s.width), KOKKOS_LAMBDA(std::size_t i) {
        const X* from = dy + i / s.width * s.rows * s.width + i % s.width;
        A total = 0;
        for (std::size_t r = 0; r < s.rows; ++r) total += static_cast<A>(from[r * s.width]);
        put<add>(dx[i], total);
      });
}

template <class T>
void gather_forward(std::int64_t count, std::size_t width, const T* table, const std::int32_t* index, T* y) {
  parallel_rows(
      count, KOKKOS_LAMBDA(std::size_t row) {
        const T* from = table + static_cast<std::size_t>(index[row]) * width;
        T* to = y + row * width;
#pragma omp simd
        for (std::size_t i = 0; i < width; ++i) to[i] = from[i];
      });
}

// dtable[index[i]] += dy[i], a block of columns at a time, so that one index of the loop owns its elements.
template <class T, class A>
void gather_backward(std::size_t count, std::size_t width, const T* dy, const std::int32_t* index,
                     A* dtable) {
  constexpr std::size_t block = 64;
  parallel_rows(
      static_cast<std::int64_t>((width + block - 1) / block), KOKKOS_LAMBDA(std::size_t b) {
        const std::size_t begin = b * block;
        const std::size_t end = begin + block < width ? begin + block : width;
        for (std::size_t row = 0; row < count; ++row) {
          const T* from = dy + row * width;
          A* to = dtable + static_cast<std::size_t>(index[row]) * width;
#pragma omp simd
          for (std::size_t i = begin; i < end; ++i) to[i] += static_cast<A>(from[i]);
        }
      });
}

// The first `width` columns of `from` become those of `to`, row by row.
template <bool add, class T>
void copy_columns(std::int64_t rows, std::size_t width, const T* from, std::size_t from_stride, T* to,
                  std::size_t to_stride) {
  using A = arithmetic_t<T>;
  parallel_rows(
      rows, KOKKOS_LAMBDA(std::size_t row) {
        const T* fr = from + row * from_stride;
        T* tr = to + row * to_stride;
#pragma omp simd
        for (std::size_t i = 0; i < width; ++i) put<add>(tr[i], static_cast<A>(fr[i]));
      });
}

}  // namespace

Variable add_table(const Variable& x, const Variable& table) {
  const char* const operation = "add_table";
  const Shape& xs = x.shape();
  const Shape& ts = table.shape();
  require(xs.rank() == 3 && ts.rank() == 2 && xs[2] == ts[1] && (xs[1] == ts[0] || xs[1] == 1), operation,
          "x must be [batch, rows, width] or [batch, 1, width] for a table [rows, width]", xs, ts);
  const TableSum s{static_cast<std::size_t>(xs[0]), static_cast<std::size_t>(xs[1]),
                   static_cast<std::size_t>(ts[0]), static_cast<std::size_t>(ts[1])};
  Tensor y = Tensor::empty({xs[0], ts[0], ts[1]}, x.dtype());
  dispatch_pair(x.dtype(), table.dtype(), operation, [&]<class X, class T>(X, T) {
    if (!y.is_meta()) add_table_forward(s, x.value().data<X>(), table.value().data<T>(), y.data<X>());
  });
  return record(
      y, {x, table}, [x_node = x.node(), table_node = table.node(), s, type = x.dtype()](const Tensor& dy) {
        if (const GradientSlot slot(table_node); slot) {
          const Shape flat{static_cast<std::int64_t>(s.batch), static_cast<std::int64_t>(s.rows * s.width)};
          sum_columns(dy.view(flat), slot.tensor, slot.accumulate);
        }
        if (s.x_rows == s.rows) {
          pass_gradient(x_node, dy);
          return;
        }
        const TypedSlot slot(x_node, type);
        if (!slot || dy.is_meta()) return;
        dispatch_floating(type, [&]<class X>(X) {
          dispatch_flag(slot.accumulate(),
                        [&](auto add) { broadcast_backward<add()>(s, dy.data<X>(), slot.data<X>()); });
        });
        slot.commit();
      });
}

Variable gather_rows(const Variable& table, const std::vector<std::int64_t>& index) {
  const char* const operation = "gather_rows";
  require_floating(table.value(), operation);
  const Shape& shape = table.shape();
  require(shape.rank() == 2, operation, "the table must be [rows, width]", shape);
  for (const std::int64_t row : index) {
    if (row >= 0 && row < shape[0]) continue;
    throw Error(
        "the row " + std::to_string(row) + " is outside a table of " + std::to_string(shape[0]) + " rows",
        operation);
  }
  const auto count = static_cast<std::int64_t>(index.size());
  const auto width = static_cast<std::size_t>(shape[1]);
  const DType type = table.dtype();
  const Tensor rows = Tensor::from_host(std::vector<std::int32_t>(index.begin(), index.end()), {count});
  Tensor y = Tensor::empty({count, shape[1]}, type);
  if (!y.is_meta()) {
    dispatch_floating(type, [&]<class T>(T) {
      gather_forward(count, width, table.value().data<T>(), rows.data<std::int32_t>(), y.data<T>());
    });
  }
  return record(y, {table}, [node = table.node(), rows, count, width, type](const Tensor& dy) {
    TypedSlot slot(node, arithmetic_of(type));
    if (!slot || dy.is_meta()) return;
    slot.make_additive();
    dispatch_floating(type, [&]<class T>(T) {
      gather_backward(static_cast<std::size_t>(count), width, dy.data<T>(), rows.data<std::int32_t>(),
                      slot.data<arithmetic_t<T>>());
    });
    slot.commit();
  });
}

Variable join_rows(const Variable& a, const Variable& b) {
  const char* const operation = "join_rows";
  require_floating(a.value(), operation);
  require(a.shape().rank() == 2 && b.shape().rank() == 2 && a.shape()[0] == b.shape()[0], operation,
          "both must be matrices with the same number of rows", a.shape(), b.shape());
  if (a.dtype() != b.dtype()) {
    throw Error(
        std::string("both must have one type, not ") + name_of(a.dtype()) + " and " + name_of(b.dtype()),
        operation);
  }
  const DType type = a.dtype();
  const std::int64_t rows = a.shape()[0];
  const auto left = static_cast<std::size_t>(a.shape()[1]);
  const auto right = static_cast<std::size_t>(b.shape()[1]);
  Tensor y = Tensor::empty({rows, a.shape()[1] + b.shape()[1]}, type);
  if (!y.is_meta()) {
    dispatch_floating(type, [&]<class T>(T) {
      copy_columns<false>(rows, left, a.value().data<T>(), left, y.data<T>(), left + right);
      copy_columns<false>(rows, right, b.value().data<T>(), right, y.data<T>() + left, left + right);
    });
  }
  return record(y, {a, b}, [a_node = a.node(), b_node = b.node(), rows, left, right, type](const Tensor& dy) {
    const auto part = [&](const NodePtr& node, std::size_t first, std::size_t width) {
      const TypedSlot slot(node, type);
      if (!slot || dy.is_meta()) return;
      dispatch_floating(type, [&]<class T>(T) {
        dispatch_flag(slot.accumulate(), [&](auto add) {
          copy_columns<add()>(rows, width, dy.data<T>() + first, left + right, slot.data<T>(), width);
        });
      });
      slot.commit();
    };
    part(a_node, 0, left);
    part(b_node, left, right);
  });
}

}  // namespace tessera::ops
