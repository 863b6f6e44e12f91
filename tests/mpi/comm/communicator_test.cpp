#include "comm/communicator.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <numeric>
#include <string>

#include "base/error.hpp"

namespace tessera::comm {
namespace {

const Communicator& world() {
  static const Communicator communicator = Communicator::world();
  return communicator;
}

template <class T>
class Reductions : public testing::Test {};
using Types = testing::Types<float, double, std::int64_t>;
TYPED_TEST_SUITE(Reductions, Types);

TYPED_TEST(Reductions, OfMoreThanOnePieceAreExactOnWholeNumbers) {
  using T = TypeParam;
  const std::size_t count = piece_bytes / sizeof(T) + 1001;
  const auto w = static_cast<T>(world().size());
  const auto r = static_cast<T>(world().rank());
  std::vector<T> sum(count);
  for (std::size_t i = 0; i < count; ++i) sum[i] = static_cast<T>(i % 1000) * (r + 1);
  std::vector<T> later = sum;
  std::vector<T> most = sum;
  std::vector<T> least = sum;
  PendingReduction pending = world().start_all_reduce_sum(std::span(later));
  while (!pending.test()) {
  }
  pending.wait();
  EXPECT_TRUE(pending.test());
  world().all_reduce(std::span(sum));
  world().all_reduce(std::span(most), Reduction::max);
  world().all_reduce(std::span(least), Reduction::min);
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const auto base = static_cast<T>(i % 1000);
    if (sum[i] != base * (w * (w + 1) / 2) || later[i] != sum[i]) ++wrong;
    if (most[i] != base * w || least[i] != base) ++wrong;
  }
  EXPECT_EQ(wrong, 0U);
}

TEST(Communicator, SeveralReductionsInFlightFinishInAnyOrderOfWaiting) {
  std::vector<double> a(100, 1.0);
  std::vector<double> b(200, 2.0);
  PendingReduction first = world().start_all_reduce_sum(std::span(a));
  PendingReduction second = world().start_all_reduce_sum(std::span(b));
  second.wait();
  first.wait();
  EXPECT_EQ(a.back(), world().size());
  EXPECT_EQ(b.back(), 2.0 * world().size());
}

TEST(Communicator, BroadcastsFromEveryRoot) {
  for (int root = 0; root < world().size(); ++root) {
    std::vector<std::byte> bytes(piece_bytes + 3);
    if (world().rank() == root) {
      for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i * 31 + 7);
    }
    world().broadcast(bytes, root);
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < bytes.size(); ++i) wrong += bytes[i] != static_cast<std::byte>(i * 31 + 7);
    EXPECT_EQ(wrong, 0U);
  }
}

TEST(Communicator, GathersTextsOfDifferentLengthsInRankOrder) {
  const auto own = [](int rank) { return std::string(static_cast<std::size_t>(rank * 5), 'x') + '\0'; };
  const std::vector<std::string> texts = world().gather(world().rank() == 1 ? "" : own(world().rank()));
  ASSERT_EQ(texts.size(), static_cast<std::size_t>(world().size()));
  for (int r = 0; r < world().size(); ++r) {
    EXPECT_EQ(texts[static_cast<std::size_t>(r)], r == 1 ? "" : own(r));
  }
}

TEST(Communicator, AgreesOnlyWhenEverybodyDoes) {
  EXPECT_TRUE(world().agree(true));
  EXPECT_FALSE(world().agree(false));
  EXPECT_EQ(world().agree(world().rank() != world().size() - 1), false);
}

TEST(Communicator, AddsDoublesInRankOrder) {
  const auto value = [](int rank) { return rank % 2 == 0 ? 1e17 / (rank + 1) : 3.14159 * rank; };
  double expected = 0.0;
  for (int r = 0; r < world().size(); ++r) expected += value(r);
  EXPECT_EQ(world().ordered_sum(value(world().rank())), expected);
}

TEST(Communicator, KnowsItsNode) {
  const Communicator node = world().node();
  EXPECT_EQ(node.rank(), world().node_rank());
  EXPECT_EQ(node.size(), world().node_size());
  EXPECT_TRUE(node.on_one_node());
  EXPECT_EQ(node.ordered_sum(1.0), world().node_size());
  EXPECT_EQ(world().alone().size(), 1);
  EXPECT_EQ(world().alone().ordered_sum(2.0), 2.0);
  // The host name decides who shares a node, and the ranks of a node are counted in rank order.
  std::array<char, 256> host{};
  ASSERT_EQ(gethostname(host.data(), host.size() - 1), 0);
  const std::vector<std::string> hosts = world().gather(host.data());
  const auto own = static_cast<std::ptrdiff_t>(world().rank());
  EXPECT_EQ(std::count(hosts.begin(), hosts.end(), host.data()), world().node_size());
  EXPECT_EQ(std::count(hosts.begin(), hosts.begin() + own, host.data()), world().node_rank());
  EXPECT_EQ(world().on_one_node(), world().node_size() == world().size());
}

TEST(Communicator, WhatOneRankMeetsAllRanksThrow) {
  const int culprit = world().size() / 2;
  for (int round = 0; round < 3; ++round) {
    try {
      world().together([&] {
        if (world().rank() >= culprit) {
          throw Error("it broke on rank " + std::to_string(world().rank()), "here: a 3 b", "mend it",
                      ExitCode::usage);
        }
      });
      FAIL() << "nothing was thrown";
    } catch (const Error& error) {
      EXPECT_EQ(error.summary(), "it broke on rank " + std::to_string(culprit));
      EXPECT_EQ(error.where(), "here: a 3 b");
      EXPECT_EQ(error.remedy(), "mend it");
      EXPECT_EQ(error.code(), ExitCode::usage);
    }
  }
  int done = 0;
  world().together([&] { ++done; });
  EXPECT_EQ(done, 1);
}

TEST(Communicator, AnInvalidRootIsAnErrorAndNotTheEndOfTheProcess) {
  std::vector<std::byte> bytes(4);
  EXPECT_THROW(world().broadcast(bytes, world().size() + 5), Error);
}

}  // namespace
}  // namespace tessera::comm
