#include "edge_agreement.hpp"

#include <algorithm>

namespace tessera::quality {
namespace {

bool is_edge(const io::Image& map, int x, int y) { return map.at(x, y)[0] >= 128; }

bool near_edge(const io::Image& map, int x, int y, int reach) {
  for (int row = std::max(0, y - reach); row <= std::min(map.height - 1, y + reach); ++row) {
    for (int column = std::max(0, x - reach); column <= std::min(map.width - 1, x + reach); ++column) {
      if (is_edge(map, column, row)) return true;
    }
  }
  return false;
}

/// Share of the edges of `map` that lie near one of `other`; 1 when it has none and neither has the other.
double share_near(const io::Image& map, const io::Image& other, int reach) {
  int edges = 0, near = 0, others = 0;
  for (int y = 0; y < map.height; ++y) {
    for (int x = 0; x < map.width; ++x) {
      others += is_edge(other, x, y) ? 1 : 0;
      if (!is_edge(map, x, y)) continue;
      ++edges;
      near += near_edge(other, x, y, reach) ? 1 : 0;
    }
  }
  if (edges == 0) return others == 0 ? 1 : 0;
  return static_cast<double>(near) / edges;
}

}  // namespace

double Agreement::f1() const {
  return precision + recall == 0 ? 0 : 2 * precision * recall / (precision + recall);
}

Agreement edge_agreement(const io::Image& found, const io::Image& wanted, int reach) {
  return {share_near(found, wanted, reach), share_near(wanted, found, reach)};
}

}  // namespace tessera::quality
