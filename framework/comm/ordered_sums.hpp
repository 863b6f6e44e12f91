#pragma once
// Invariant: both sums add in an order that depends on the element count and the number of sources only,
// never on timing or addresses. Host memory.

#include <cstddef>
#include <vector>

namespace tessera::comm {

/// destination[i] = ((sources[0][i] + sources[1][i]) + sources[2][i]) + ...; the destination may be one of
/// the sources. T is float or double.
template <class T>
void add_in_order(const std::vector<const T*>& sources, T* destination, std::size_t count);

/// In double, whatever T (float or double).
template <class T>
[[nodiscard]] double sum_of_squares(const T* values, std::size_t count);

}  // namespace tessera::comm
