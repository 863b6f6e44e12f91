#include "pair_self_test.hpp"

#include <algorithm>
#include <cstdint>
#include <span>

#include "data/aspect_buckets.hpp"
#include "disturbances.hpp"
#include "pairs.hpp"
#include "self_test.hpp"

namespace tessera::quality {
namespace {

/// The aspect bucket of pairs where squares have this side.
io::ImageSize size_at(std::int64_t side) {
  constexpr std::int64_t unit = 2;  // of the PixArt demo: pixels, patch 2
  const auto buckets = data::aspect_buckets(std::span(&side, 1), unit);
  return buckets[data::nearest_bucket(buckets, 1 / pair_shape, 1.0)].sizes.front();
}

void add(PairShares& shares, const PairVerdict& verdict, double weight) {
  shares.colours += verdict.colours_right() ? weight : 0;
  shares.shapes += verdict.shapes_right() ? weight : 0;
  shares.all += verdict.all_right() ? weight : 0;
}

PairSelfTestRow judge_all(const std::vector<Pair>& pairs, const std::vector<PairScorer>& scorers,
                          const std::vector<io::Image>& shown) {
  PairSelfTestRow row;
  row.pictures = pairs.size();
  const double each = 1 / static_cast<double>(pairs.size());
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    const auto under = [&](const Pair& prompt) { return scorers[i].judge(shown[i], prompt); };
    add(row.right, under(pairs[i]), each);
    add(row.swapped, under({pairs[i].right, pairs[i].left}), each);
    for (std::size_t j = 0; j < pairs.size(); ++j) {
      if (i != j) add(row.permuted, under(pairs[j]), each / static_cast<double>(pairs.size() - 1));
    }
  }
  return row;
}

/// Noise and blank pictures, and pictures of which one half is white.
std::vector<io::Image> without_a_pair(const std::vector<Pair>& pairs, const RealPairs& real,
                                      io::ImageSize size) {
  std::vector<io::Image> pictures{io::Image(size.width, size.height),
                                  io::Image(size.width, size.height, {200, 30, 30})};
  for (const double deviation : {20.0, 60.0, 120.0}) {
    for (std::uint32_t seed = 0; seed < 4; ++seed) pictures.push_back(noise_picture(size, deviation, seed));
  }
  for (const Pair& pair : pairs) {
    io::Image picture = real.compose(pair);
    io::paste(picture, io::Image(size.width / 2, size.height), 0, 0);
    pictures.push_back(std::move(picture));
  }
  return pictures;
}

}  // namespace

bool PairSelfTestRow::passed() const {
  return std::min({right.colours, right.shapes, right.all}) >= least_on_real &&
         std::max({swapped.colours, swapped.all, permuted.colours, permuted.all}) <= most_on_permuted;
}

bool PairSelfTest::passed() const {
  return !rows.empty() && empty_judged_right == 0 &&
         std::all_of(rows.begin(), rows.end(), [](const PairSelfTestRow& row) { return row.passed(); });
}

PairSelfTest pair_self_test() {
  PairSelfTest result;
  for (const std::int64_t side : {32, 64}) {
    const io::ImageSize size = size_at(side);
    const RealPairs real(size);
    const std::vector<Pair> pairs = real.held_out();
    std::vector<PairScorer> scorers;
    for (const Pair& pair : pairs) scorers.emplace_back(real, pair);
    for (const Disturbance& disturbance : disturbances()) {
      std::vector<io::Image> shown;
      for (std::size_t i = 0; i < pairs.size(); ++i)
        shown.push_back(disturbance.of(real.compose(pairs[i]), static_cast<std::uint32_t>(i)));
      PairSelfTestRow row = judge_all(pairs, scorers, shown);
      row.size = size;
      row.condition = disturbance.name;
      result.rows.push_back(std::move(row));
    }
    const PairScorer scorer(real);
    const std::vector<io::Image> empty = without_a_pair(pairs, real, size);
    result.empty_pictures += empty.size();
    for (const io::Image& picture : empty) {
      const bool passes = std::any_of(pairs.begin(), pairs.end(), [&](const Pair& pair) {
        return scorer.judge(picture, pair).colours_right();
      });
      result.empty_judged_right += passes ? 1 : 0;
    }
  }
  return result;
}

}  // namespace tessera::quality
