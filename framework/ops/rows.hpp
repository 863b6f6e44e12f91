#pragma once
// Invariant: a row is moved or added to as a whole; sums over rows that share a target run in the order of
// the rows, so that they do not depend on the number of threads.

#include <cstdint>
#include <vector>

#include "ops/graph.hpp"

namespace tessera::ops {

/// x[b, r] + table[r] for x [batch, rows, width]; x [batch, 1, width] counts for every row of the table
/// [rows, width]. [batch, rows, width] in x's type.
[[nodiscard]] Variable add_table(const Variable& x, const Variable& table);

/// Rows index[0], index[1], ... of table [rows, width], any number of times each: [indices, width] in the
/// table's type. Looks classes up in an embedding, and packs the real tokens of captions.
/// @throws Error when an index is outside [0, rows).
[[nodiscard]] Variable gather_rows(const Variable& table, const std::vector<std::int64_t>& index);

/// [a[i], b[i]] for a [rows, m] and b [rows, n] of one type: [rows, m + n].
[[nodiscard]] Variable join_rows(const Variable& a, const Variable& b);

}  // namespace tessera::ops
