#include "comm/ordered_sums.hpp"

#include <algorithm>

#include "tensor/space.hpp"

namespace tessera::comm {
namespace {

using HostRange = Kokkos::RangePolicy<Kokkos::DefaultHostExecutionSpace, Kokkos::IndexType<std::size_t>>;
constexpr std::size_t row = 2048;  // elements; a row of partial sums stays in the first-level cache
constexpr std::size_t lanes = 16;

std::size_t rows_in(std::size_t count) { return (count + row - 1) / row; }

}  // namespace

template <class T>
void add_in_order(const std::vector<const T*>& sources, T* destination, std::size_t count) {
  const T* const* const from = sources.data();
  const std::size_t number = sources.size();
  Kokkos::parallel_for("add_in_order", HostRange(0, rows_in(count)), [=](std::size_t r) {
    const std::size_t begin = r * row;
    const std::size_t length = std::min(row, count - begin);
    T sum[row];
    for (std::size_t i = 0; i < length; ++i) sum[i] = from[0][begin + i];
    for (std::size_t s = 1; s < number; ++s) {
      const T* const source = from[s] + begin;
      for (std::size_t i = 0; i < length; ++i) sum[i] += source[i];
    }
    for (std::size_t i = 0; i < length; ++i) destination[begin + i] = sum[i];
  });
}

template <class T>
double sum_of_squares(const T* values, std::size_t count) {
  std::vector<double> partial(rows_in(count));
  double* const out = partial.data();
  Kokkos::parallel_for("sum_of_squares", HostRange(0, partial.size()), [=](std::size_t r) {
    const T* const from = values + r * row;
    const std::size_t length = std::min(row, count - r * row);
    double sum[lanes] = {};
    std::size_t i = 0;
    for (; i + lanes <= length; i += lanes) {
      for (std::size_t l = 0; l < lanes; ++l) {
        const auto value = static_cast<double>(from[i + l]);
        sum[l] += value * value;
      }
    }
    for (std::size_t l = 0; i + l < length; ++l) {
      const auto value = static_cast<double>(from[i + l]);
      sum[l] += value * value;
    }
    double total = 0.0;
    for (const double s : sum) total += s;
    out[r] = total;
  });
  double total = 0.0;
  for (const double p : partial) total += p;
  return total;
}

template void add_in_order<float>(const std::vector<const float*>&, float*, std::size_t);
template void add_in_order<double>(const std::vector<const double*>&, double*, std::size_t);
template double sum_of_squares<float>(const float*, std::size_t);
template double sum_of_squares<double>(const double*, std::size_t);

}  // namespace tessera::comm
