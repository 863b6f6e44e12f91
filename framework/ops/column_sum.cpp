#include "ops/column_sum.hpp"

#include <string>
#include <type_traits>

#include "compute/parallel.hpp"

namespace tessera::ops {
namespace {

constexpr std::int64_t block = 64;  // columns summed together: a few vector registers
constexpr std::int64_t chunk = 64;  // rows per partial sum: bounds the growth of rounding errors

template <class S, class D>
void sum_columns(const S* source, D* destination, std::int64_t rows, std::int64_t columns, bool accumulate) {
  constexpr bool wide = std::is_same_v<S, double> || std::is_same_v<D, double>;
  using A = std::conditional_t<wide, double, float>;
  parallel_rows((columns + block - 1) / block, KOKKOS_LAMBDA(std::size_t index) {
    const std::int64_t begin = static_cast<std::int64_t>(index) * block;
    const std::int64_t width = columns - begin < block ? columns - begin : block;
    A total[block] = {};
    for (std::int64_t first = 0; first < rows; first += chunk) {
      const std::int64_t last = first + chunk < rows ? first + chunk : rows;
      A partial[block] = {};
      if (width == block) {  // a constant trip count keeps the sums in registers
        for (std::int64_t i = first; i < last; ++i) {
          const S* row = source + i * columns + begin;
          for (std::int64_t j = 0; j < block; ++j) {
            partial[j] += static_cast<A>(static_cast<arithmetic_t<S>>(row[j]));
          }
        }
      } else {
        for (std::int64_t i = first; i < last; ++i) {
          const S* row = source + i * columns + begin;
          for (std::int64_t j = 0; j < width; ++j) {
            partial[j] += static_cast<A>(static_cast<arithmetic_t<S>>(row[j]));
          }
        }
      }
      for (std::int64_t j = 0; j < block; ++j) total[j] += partial[j];
    }
    D* to = destination + begin;
    for (std::int64_t j = 0; j < width; ++j) {
      const A before = accumulate ? static_cast<A>(static_cast<arithmetic_t<D>>(to[j])) : A(0);
      to[j] = D(static_cast<arithmetic_t<D>>(before + total[j]));
    }
  });
}

}  // namespace

void sum_columns(const Tensor& source, const Tensor& destination, bool accumulate) {
  const std::int64_t columns = destination.numel();
  if (source.shape().rank() == 0 || source.shape()[-1] != columns) {
    throw Error("the columns of " + source.shape().to_string() + " cannot be summed into " +
                destination.shape().to_string());
  }
  if (destination.is_meta() || source.is_meta() || columns == 0) return;
  dispatch_floating(source.dtype(), [&]<class S>(S) {
    dispatch_floating(destination.dtype(), [&]<class D>(D) {
      sum_columns(source.data<S>(), destination.data<D>(), source.numel() / columns, columns, accumulate);
    });
  });
}

}  // namespace tessera::ops
