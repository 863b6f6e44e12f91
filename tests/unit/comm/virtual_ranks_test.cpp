// Virtual ranks: collective calls give what MPI's give, and what MPI would hang or corrupt memory on is told.
#include "comm/virtual_ranks.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "base/error.hpp"
#include "comm/gradient_reducer.hpp"
#include "comm/shared_arena.hpp"

namespace tessera::comm {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string failure(int ranks, const std::function<void(const Communicator&)>& body) {
  try {
    run_virtual_ranks({ranks, 1}, body);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(VirtualRanks, CallsCombineWhatRanksBring) {
  std::vector<int> order;
  const std::vector<CollectiveCall> calls = run_virtual_ranks({7, 3}, [&](const Communicator& world) {
    const int rank = world.rank();
    order.push_back(rank);
    EXPECT_EQ(world.size(), 7);
    EXPECT_EQ(world.node_rank(), rank % 3);
    EXPECT_EQ(world.node_size(), rank < 6 ? 3 : 1);
    EXPECT_FALSE(world.on_one_node());
    std::vector<double> values{1.0 * rank, -1.0 * rank};
    world.all_reduce(std::span(values));
    EXPECT_THAT(values, ElementsAre(21, -21));
    std::int64_t greatest = rank, least = rank;
    world.all_reduce(std::span(&greatest, 1), Reduction::max);
    world.all_reduce(std::span(&least, 1), Reduction::min);
    EXPECT_EQ(greatest, 6);
    EXPECT_EQ(least, 0);
    int told = rank == 4 ? 99 : 0;
    world.broadcast(std::as_writable_bytes(std::span(&told, 1)), 4);
    EXPECT_EQ(told, 99);
    const std::vector<std::string> texts = world.gather(std::to_string(rank));
    EXPECT_THAT(texts, ElementsAre("0", "1", "2", "3", "4", "5", "6"));
    EXPECT_EQ(world.ordered_sum(rank), 21);
    EXPECT_FALSE(world.agree(rank != 5));
    EXPECT_EQ(world.alone().ordered_sum(rank), rank);
    std::vector<float> nodes{1.0F};
    world.node().all_reduce(std::span(nodes));
    EXPECT_EQ(nodes[0], world.node_size());
    order.push_back(rank + 100);
    world.barrier();
  });
  ASSERT_EQ(calls.size(), 8U);
  EXPECT_EQ(calls.front(), (CollectiveCall{"all_reduce", 2}));
  EXPECT_EQ(calls.back().operation, "barrier");
  EXPECT_EQ(order.size(), 14U);  // unguarded: ranks never run side by side
}

TEST(VirtualRanks, ReductionsGoOnWhileARankComputes) {
  run_virtual_ranks({5, 5}, [](const Communicator& world) {
    std::vector<float> a(10, static_cast<float>(world.rank())), b(3, 1.0F);
    PendingReduction first = world.start_all_reduce_sum(std::span(a));
    PendingReduction second = world.start_all_reduce_sum(std::span(b));
    EXPECT_EQ(first.test(), world.rank() == 4);  // the last rank completes it
    second.wait();
    EXPECT_TRUE(first.test());
    EXPECT_EQ(a.back(), 10.0F);
    EXPECT_EQ(b.front(), 5.0F);
  });
}

TEST(VirtualRanks, NodesShareMemory) {
  run_virtual_ranks({6, 3}, [](const Communicator& world) {
    EXPECT_TRUE(SharedArena::supported(world));
    const SharedArena arena(world, 6 * sizeof(double), Placement::shared);
    auto* const values = reinterpret_cast<double*>(arena.data());
    values[world.node_rank()] = world.rank();
    world.barrier();
    for (int i = 0; i < 3; ++i) EXPECT_EQ(values[i], world.rank() / 3 * 3 + i);
  });
}

TEST(VirtualRanks, CallsThatDoNotFitAreNamed) {
  EXPECT_THAT(
      failure(4,
              [](const Communicator& world) {
                std::vector<float> values(world.rank() == 2 ? 7 : 8);
                world.all_reduce(std::span(values));
              }),
      testing::AllOf(HasSubstr("rank 2 calls all_reduce of 7"), HasSubstr("rank 0"), HasSubstr("of 8")));
  EXPECT_THAT(failure(3,
                      [](const Communicator& world) {
                        if (world.rank() == 1) world.barrier();
                        (void)world.ordered_sum(1);
                      }),
              testing::AllOf(HasSubstr("rank 1 calls barrier"), HasSubstr("ordered_sum")));
  EXPECT_THAT(failure(3,
                      [](const Communicator& world) {
                        if (world.rank() != 1) world.barrier();
                      }),
              HasSubstr("waits in a collective call for ranks that have ended"));
  EXPECT_THAT(failure(3,
                      [](const Communicator& world) {
                        std::vector<float> values(4);
                        if (world.rank() == 0) (void)world.start_all_reduce_sum(std::span(values));
                        world.barrier();
                      }),
              HasSubstr("abandoned"));
}

TEST(VirtualRanks, TheFirstErrorIsTheJobs) {
  EXPECT_THAT(failure(4,
                      [](const Communicator& world) {
                        world.barrier();
                        if (world.rank() == 2) throw Error("the disk is full");
                        world.barrier();
                      }),
              HasSubstr("the disk is full"));
  EXPECT_THAT(failure(4,
                      [](const Communicator& world) {
                        world.together([&] {
                          if (world.rank() >= 2)
                            throw Error("rank " + std::to_string(world.rank()) + " fails");
                        });
                      }),
              HasSubstr("rank 2 fails"));
  EXPECT_THAT(failure(0, [](const Communicator&) {}), HasSubstr("no rank"));
}

/// Buckets named in any order of time: every rank starts the same reductions in the same order.
TEST(VirtualRanks, AThousandRanksAgreeOnTheirReductions) {
  constexpr std::size_t kCount = 5000;
  const std::vector<CollectiveCall> calls = run_virtual_ranks({1024, 8}, [](const Communicator& world) {
    const SharedArena arena(world, kCount * sizeof(float), Placement::private_memory);
    auto* const gradients = reinterpret_cast<float*>(arena.data());
    GradientReducer reducer(world, arena, DType::f32, kCount, {.bucket_bytes = 6000});
    const auto rank = static_cast<std::size_t>(world.rank());
    for (int step = 0; step < 2; ++step) {
      for (std::size_t i = 0; i < kCount; ++i) gradients[i] = static_cast<float>((rank + i) % 3);
      // Ranks get ahead of each other by different strides.
      for (std::size_t done = 0; done < kCount; done += 300 + rank % 7 * 450) reducer.ready_up_to(done);
      reducer.finish();
      for (std::size_t i = 0; i < kCount; ++i) {
        // 1024 = 3 x 341 + 1: the ranks' terms 0, 1, 2 in turn, and that of rank 1023 once more
        ASSERT_EQ(gradients[i], 341.0F * 3 + static_cast<float>((1023 + i) % 3)) << i;
      }
      reducer.publish();
    }
  });
  std::vector<std::size_t> counts;
  for (const CollectiveCall& call : calls) {
    if (call.operation == "start_all_reduce") counts.push_back(call.count);
  }
  EXPECT_THAT(counts, ElementsAre(1500, 1500, 1500, 500, 1500, 1500, 1500, 500));
}

}  // namespace
}  // namespace tessera::comm
