#include "base/random.hpp"

#include <algorithm>

#include "base/error.hpp"

namespace tessera {
namespace {

constexpr std::size_t lanes = 16;
constexpr std::size_t group = 4 * lanes;

/// The 64 draws of one group of elements, in element order.
template <class Transform, class Out>
inline void fill_group(PhiloxKey key, std::uint64_t position, std::uint64_t group_index, Transform transform,
                       Out* out) {
  const auto p0 = static_cast<std::uint32_t>(position);
  const auto p1 = static_cast<std::uint32_t>(position >> 32);
  const std::uint64_t block = group_index * lanes;  // a multiple of 16: adding a lane never carries
  const auto b0 = static_cast<std::uint32_t>(block);
  const auto b1 = static_cast<std::uint32_t>(block >> 32);
  std::uint32_t bits[group];
  for (std::uint32_t lane = 0; lane < lanes; ++lane) {
    const PhiloxBlock draw = philox(key, b0 + lane, b1, p0, p1);
    bits[lane] = draw.word[0];
    bits[lane + lanes] = draw.word[1];
    bits[lane + 2 * lanes] = draw.word[2];
    bits[lane + 3 * lanes] = draw.word[3];
  }
  for (std::size_t i = 0; i < group; ++i) out[i] = transform(bits[i]);
}

template <class Transform, class Out>
void fill(const RandomStream& stream, std::uint64_t position, std::uint64_t first, Out* out,
          std::size_t count, Transform transform) {
  const std::uint64_t last = first + count;
  Out draws[group];
  for (std::uint64_t g = first / group; g * group < last; ++g) {
    const std::uint64_t begin = g * group;
    if (begin >= first && begin + group <= last) {
      fill_group(stream.key, position, g, transform, out + (begin - first));
    } else {
      fill_group(stream.key, position, g, transform, draws);
      const std::uint64_t from = std::max(begin, first), to = std::min(begin + group, last);
      std::copy(draws + (from - begin), draws + (to - begin), out + (from - first));
    }
  }
}

}  // namespace

void fill_normal(const RandomStream& stream, std::uint64_t position, std::uint64_t first, float* out,
                 std::size_t count) {
  fill(stream, position, first, out, count, [](std::uint32_t bits) { return normal_from_bits(bits); });
}

void fill_uniform01(const RandomStream& stream, std::uint64_t position, std::uint64_t first, float* out,
                    std::size_t count) {
  fill(stream, position, first, out, count, [](std::uint32_t bits) { return uniform_from_bits(bits); });
}

std::vector<std::uint32_t> random_order(const RandomStream& stream, std::uint64_t position,
                                        std::size_t count) {
  if (count > (std::uint64_t{1} << 32))
    throw Error("a random order of " + std::to_string(count) + " items was asked for; the limit is 2^32",
                "random_order", "split the items into windows");
  std::vector<std::uint32_t> order(count);
  std::vector<std::uint64_t> pairs(count);
  fill(stream, position, 0, order.data(), count, [](std::uint32_t bits) { return bits; });
  for (std::size_t i = 0; i < count; ++i) pairs[i] = (std::uint64_t{order[i]} << 32) | i;
  std::sort(pairs.begin(), pairs.end());
  for (std::size_t i = 0; i < count; ++i) order[i] = static_cast<std::uint32_t>(pairs[i]);
  return order;
}

}  // namespace tessera
