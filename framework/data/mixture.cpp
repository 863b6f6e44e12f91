#include "data/mixture.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

#include "base/error.hpp"

namespace tessera::data {

std::vector<std::uint64_t> shared_out(std::uint64_t batch, std::span<const MixturePart> parts) {
  std::vector<std::uint64_t> counts;
  std::vector<double> remainders;
  std::uint64_t given = 0;
  for (const MixturePart& part : parts) {
    const double wanted = part.share * static_cast<double>(batch);
    // A share that was written in decimals may fall short of a whole number by its rounding.
    const double whole = std::floor(wanted + 1e-9);
    counts.push_back(static_cast<std::uint64_t>(whole));
    remainders.push_back(wanted - whole);
    given += counts.back();
  }
  std::vector<std::size_t> order(counts.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order,
                           [&](std::size_t a, std::size_t b) { return remainders[a] > remainders[b]; });
  for (std::size_t i = 0; given < batch; ++i, ++given) ++counts[order[i % order.size()]];
  const auto none = std::ranges::find(counts, std::uint64_t{0});
  if (none == counts.end()) return counts;
  throw Error("a batch of " + std::to_string(batch) + " samples has room for none of part " +
                  std::to_string(none - counts.begin()) + " of the data, whose share is " +
                  std::to_string(parts[static_cast<std::size_t>(none - counts.begin())].share) + ".",
              "data loader", "Raise the batch or the share.");
}

}  // namespace tessera::data
