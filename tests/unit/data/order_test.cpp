// Data order: each record exactly once per epoch, uniform, independent of ranks and of where one starts.
#include "data/order.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <set>

#include "base/error.hpp"

namespace tessera::data {
namespace {

RandomStream stream_of(std::uint64_t seed) {
  return RandomStream(RandomKey{.seed = seed, .purpose = Purpose::test});
}

using Sample = std::pair<std::uint32_t, std::uint64_t>;

TEST(KeyedPermutation, IsABijectionForEverySize) {
  for (std::uint64_t n = 1; n <= 200; ++n) {
    const KeyedPermutation permutation(stream_of(n), 3, n);
    std::set<std::uint64_t> images;
    for (std::uint64_t i = 0; i < n; ++i) images.insert(permutation(i));
    EXPECT_EQ(images.size(), n);
    EXPECT_LT(*images.rbegin(), n);
  }
}

TEST(KeyedPermutation, AllOrdersOfFourAreEquallyLikely) {
  std::map<std::vector<std::uint64_t>, int> counts;
  constexpr int kTrials = 24'000;
  for (int trial = 0; trial < kTrials; ++trial) {
    const KeyedPermutation permutation(stream_of(static_cast<std::uint64_t>(trial)), 1, 4);
    ++counts[{permutation(0), permutation(1), permutation(2), permutation(3)}];
  }
  ASSERT_EQ(counts.size(), 24U);
  double chi2 = 0;
  for (const auto& [order, count] : counts) chi2 += std::pow(count - kTrials / 24.0, 2) / (kTrials / 24.0);
  EXPECT_LT(chi2, 49.7);  // 23 degrees of freedom, probability 0.001
}

TEST(KeyedPermutation, PairsOfImagesAreUniform) {
  // Images of two neighbours, in 8 x 8 cells, over many keys: a weak shuffle keeps neighbours together.
  constexpr std::uint64_t kSize = 1000;
  constexpr int kTrials = 32'000;
  std::vector<double> cells(64, 0);
  for (int trial = 0; trial < kTrials; ++trial) {
    const KeyedPermutation permutation(stream_of(7), static_cast<std::uint64_t>(trial), kSize);
    ++cells[permutation(500) * 8 / kSize * 8 + permutation(501) * 8 / kSize];
  }
  double chi2 = 0;
  for (std::uint64_t a = 0; a < 8; ++a) {
    for (std::uint64_t b = 0; b < 8; ++b) {
      // 125 values per cell; a pair never takes the same value twice
      const double expected = kTrials * 125.0 * (a == b ? 124.0 : 125.0) / (1000.0 * 999.0);
      chi2 += std::pow(cells[a * 8 + b] - expected, 2) / expected;
    }
  }
  EXPECT_LT(chi2, 103.4);  // 63 degrees of freedom, probability 0.001
}

TEST(RankSlice, CoversTheBatchInOrder) {
  for (std::uint64_t batch = 1; batch < 40; ++batch) {
    for (std::uint64_t ranks = 1; ranks <= batch; ++ranks) {
      std::uint64_t at = 1000;
      for (std::uint64_t rank = 0; rank < ranks; ++rank) {
        const DrawRange slice = rank_slice(1000, batch, rank, ranks);
        EXPECT_EQ(slice.first, at);
        EXPECT_GE(slice.last - slice.first, batch / ranks);
        EXPECT_LE(slice.last - slice.first, batch / ranks + 1);
        at = slice.last;
      }
      EXPECT_EQ(at, 1000 + batch);
    }
  }
}

const std::vector<std::uint64_t> kShards{100, 100, 100, 0, 100, 100, 1, 100, 37};  // uneven, one empty
constexpr std::uint64_t kRecords = 638;

TEST(DataOrder, EveryEpochDrawsEachRecordOnce) {
  for (const std::uint32_t window : {1U, 2U, 3U, 16U}) {
    DataOrder order(kShards, 5, window);
    ASSERT_EQ(order.records(), kRecords);
    std::vector<std::vector<Sample>> epochs;
    for (std::uint64_t epoch = 0; epoch < 3; ++epoch) {
      std::vector<Sample> drawn;
      for (std::uint64_t i = 0; i < kRecords; ++i) {
        const Draw draw = order.at(epoch * kRecords + i);
        EXPECT_EQ(draw.epoch, epoch);
        ASSERT_LT(draw.record, kShards[draw.shard]);
        drawn.emplace_back(draw.shard, draw.record);
      }
      epochs.push_back(drawn);
      EXPECT_EQ(std::set<Sample>(drawn.begin(), drawn.end()).size(), kRecords);
    }
    EXPECT_NE(epochs[0], epochs[1]);
    EXPECT_NE(epochs[1], epochs[2]);
  }
}

TEST(DataOrder, IsAPureFunctionOfSeedAndDraw) {
  DataOrder forward(kShards, 5, 2), backward(kShards, 5, 2), other(kShards, 6, 2);
  std::vector<Draw> a, b, c;
  for (std::uint64_t i = 0; i < 2 * kRecords; ++i) a.push_back(forward.at(i));
  for (std::uint64_t i = 2 * kRecords; i-- > 0;) b.push_back(backward.at(i));
  for (std::uint64_t i = 0; i < 2 * kRecords; ++i) c.push_back(other.at(i));
  std::reverse(b.begin(), b.end());
  EXPECT_EQ(a, b);
  EXPECT_NE(a, c);
}

TEST(DataOrder, TouchesOneWindowOfShardsAtATime) {
  DataOrder order(std::vector<std::uint64_t>(24, 50), 9, 6);
  std::set<std::uint32_t> seen;
  for (std::uint64_t window = 0; window < 4; ++window) {
    std::set<std::uint32_t> shards;
    for (std::uint64_t i = 0; i < 300; ++i) shards.insert(order.at(window * 300 + i).shard);
    EXPECT_EQ(shards.size(), 6U);
    seen.insert(shards.begin(), shards.end());
  }
  EXPECT_EQ(seen.size(), 24U);
}

TEST(DataOrder, PlacesInTheEpochAreUniform) {
  // Where one record lands within the epoch, over many epochs: uniform over 10 tenths.
  DataOrder order(std::vector<std::uint64_t>(20, 10), 11, 4);
  constexpr int kEpochs = 2000;
  std::vector<double> tenths(10, 0);
  for (std::uint64_t epoch = 0; epoch < kEpochs; ++epoch) {
    for (std::uint64_t i = 0; i < 200; ++i) {
      const Draw draw = order.at(epoch * 200 + i);
      if (draw.shard == 7 && draw.record == 3) ++tenths[i / 20];
    }
  }
  EXPECT_EQ(std::accumulate(tenths.begin(), tenths.end(), 0.0), kEpochs);
  double chi2 = 0;
  for (const double count : tenths) chi2 += std::pow(count - kEpochs / 10.0, 2) / (kEpochs / 10.0);
  EXPECT_LT(chi2, 27.9);  // 9 degrees of freedom, probability 0.001
}

TEST(DataOrder, SequencesOverTheSameShardsKeepPaceAndDiffer) {
  // The shards of a window are the same for all sequences, also where a part has none of its records.
  std::vector<std::uint64_t> many(24, 60), few(24, 20);
  few[3] = few[11] = 0;
  DataOrder a(many, 9, 6, 0), b(few, 9, 6, 1), c(many, 9, 6, 1);
  for (std::uint64_t window = 0; window < 4; ++window) {
    std::set<std::uint32_t> of_a;
    std::vector<Draw> draws_a, draws_c;
    for (std::uint64_t i = 0; i < 360; ++i) {
      draws_a.push_back(a.at(window * 360 + i));
      draws_c.push_back(c.at(window * 360 + i));
      of_a.insert(draws_a.back().shard);
    }
    EXPECT_NE(draws_a, draws_c);
    for (const Draw& draw : draws_c) EXPECT_TRUE(of_a.contains(draw.shard));
  }
  std::set<Sample> drawn;
  std::uint64_t in_b = 440;  // the second epoch, whose windows are those of a's second epoch
  for (std::uint64_t window = 0; window < 4; ++window) {
    std::set<std::uint32_t> of_a;
    for (std::uint64_t i = 0; i < 360; ++i) of_a.insert(a.at(1440 + window * 360 + i).shard);
    while (in_b < 880 && of_a.contains(b.at(in_b).shard)) ++in_b;
  }
  EXPECT_EQ(in_b, 880U);
  for (std::uint64_t i = 0; i < 440; ++i) {
    const Draw draw = b.at(440 + i);
    ASSERT_LT(draw.record, few[draw.shard]);
    drawn.emplace(draw.shard, draw.record);
  }
  EXPECT_EQ(drawn.size(), 440U);
}

TEST(DataOrder, RefusesAnEmptyDataSet) {
  EXPECT_THROW(DataOrder({}, 1), Error);
  EXPECT_THROW(DataOrder({0, 0}, 1), Error);
}

}  // namespace
}  // namespace tessera::data
