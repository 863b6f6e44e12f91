#pragma once
// Invariant: the slices of ranks 0..W-1 are consecutive, cover [0, n) exactly and differ in length by at
// most one granule. slice_of(B, r, W) is also the rule that deals the samples of a global batch to the ranks:
// [rB/W, (r+1)B/W) with integer division.

#include <algorithm>
#include <cstddef>

namespace tessera::comm {

struct Slice {
  std::size_t begin = 0;
  std::size_t end = 0;
  [[nodiscard]] constexpr std::size_t size() const { return end - begin; }
  friend constexpr bool operator==(const Slice&, const Slice&) = default;
};

/// The share of rank `part` of `parts` in [0, n), cut at multiples of `granule` elements.
[[nodiscard]] constexpr Slice slice_of(std::size_t n, int part, int parts, std::size_t granule = 1) {
  const std::size_t granules = (n + granule - 1) / granule;
  const auto w = static_cast<std::size_t>(parts);
  // granules * r / w without the product, which overflows for large n
  const auto cut = [&](std::size_t r) { return granules / w * r + granules % w * r / w; };
  const auto r = static_cast<std::size_t>(part);
  return {std::min(cut(r) * granule, n), std::min(cut(r + 1) * granule, n)};
}

}  // namespace tessera::comm
