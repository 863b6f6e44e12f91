// Sums and parameters that are split between the ranks, on one pretended machine or several.
#include "comm/sharding.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <random>

#include "base/error.hpp"
#include "comm/bucket_gather.hpp"
#include "comm/passed_gradients.hpp"
#include "comm/scattered_gradients.hpp"

namespace tessera::comm {
namespace {

const Communicator& world() {
  static const Communicator communicator = Communicator::world();
  return communicator;
}

/// The job on machines of 1 rank, of 2, and as it is.
std::vector<Communicator> layouts() { return {world().on_nodes_of(1), world().on_nodes_of(2), world()}; }

// Small ranges and gaps, one range larger than a bucket, a border, and a bucket with fewer elements than
// ranks.
const std::vector<Slice> ranges{{0, 5}, {16, 40}, {48, 1000}, {1008, 1009}, {1024, 1100}, {1104, 1144}};
constexpr std::size_t border = 1024;
constexpr std::size_t total = 1152;

std::shared_ptr<const Sharding> make_sharding(const Communicator& ranks, const Communicator& sharers,
                                              std::size_t bucket = 64) {
  std::vector<std::size_t> starts;
  for (const Slice range : ranges) starts.push_back(range.begin);
  return std::make_shared<const Sharding>(Holders::of(ranks, sharers), ranks.rank(), starts, total, border,
                                          bucket);
}

std::vector<double> gradients_of(int rank, int step, int round) {
  std::mt19937 engine(static_cast<unsigned>(1000 * step + 100 * round + rank));
  std::uniform_real_distribution<double> uniform(-1, 1);
  std::vector<double> values(border, 0.0);
  for (std::size_t range = 0; range < 4; ++range) {
    for (std::size_t i = ranges[range].begin; i < ranges[range].end; ++i) values[i] = uniform(engine);
  }
  return values;
}

TEST(Sharding, DealsEveryElementOnceAndNodesTogether) {
  for (const Communicator& ranks : layouts()) {
    const auto sharding = make_sharding(ranks, ranks.node());
    EXPECT_EQ(sharding->buckets(),
              (std::vector<Slice>{{0, 48}, {48, 1008}, {1008, 1024}, {1024, 1104}, {1104, 1152}}));
    EXPECT_EQ(sharding->buckets_below_border(), 3U);
    EXPECT_EQ(sharding->elements_below_border(), border);
    for (std::size_t bucket = 0; bucket < sharding->buckets().size(); ++bucket) {
      std::vector<int> owners(total, 0);
      for (int rank = 0; rank < ranks.size(); ++rank) {
        const Slice part = sharding->part(bucket, rank);
        for (std::size_t i = part.begin; i < part.end; ++i) ++owners[i];
      }
      std::vector<int> holders(total, 0);
      for (int holder = 0; holder < sharding->holders().count(); ++holder) {
        const Slice part = sharding->holder_part(bucket, holder);
        for (std::size_t i = part.begin; i < part.end; ++i) ++holders[i];
      }
      for (std::size_t i = 0; i < total; ++i) {
        const Slice whole = sharding->buckets()[bucket];
        EXPECT_EQ(owners[i], i >= whole.begin && i < whole.end) << bucket << " " << i;
        EXPECT_EQ(holders[i], owners[i]);
      }
      const Slice mine = sharding->part(bucket, ranks.rank());
      const Slice node = sharding->holder_part(bucket, sharding->holders().mine);
      EXPECT_TRUE(mine.begin >= node.begin && mine.end <= node.end);
    }
    EXPECT_EQ(sharding->bucket_of(47), 0U);
    EXPECT_EQ(sharding->bucket_of(1104), 4U);
    std::size_t of_range = 0;
    for (int rank = 0; rank < ranks.size(); ++rank)
      of_range += sharding->part_of_range({48, 1000}, rank).size();
    EXPECT_EQ(of_range, 952U);
  }
}

/// In rank order, as the routes promise; rounds one after the other where they are summed one by one.
std::vector<double> expected_sum(int step, int rounds, bool each) {
  std::vector<double> sum(border, 0.0);
  if (each) {
    for (int round = 0; round < rounds; ++round) {
      for (int rank = 0; rank < world().size(); ++rank) {
        const std::vector<double> more = gradients_of(rank, step, round);
        for (std::size_t i = 0; i < border; ++i) sum[i] += more[i];
      }
    }
    return sum;
  }
  for (int rank = 0; rank < world().size(); ++rank) {
    std::vector<double> own = gradients_of(rank, step, 0);
    for (int round = 1; round < rounds; ++round) {
      const std::vector<double> more = gradients_of(rank, step, round);
      for (std::size_t i = 0; i < border; ++i) own[i] += more[i];
    }
    for (std::size_t i = 0; i < border; ++i) sum[i] += own[i];
  }
  return sum;
}

void expect_sums(SummedGradients& gradients, const std::vector<double>& expected) {
  const auto* const sums = reinterpret_cast<const double*>(gradients.gradients().data());
  std::size_t wrong = 0;
  std::size_t elements = 0;
  for (const Slice part : gradients.my_parts()) {
    elements += part.size();
    for (std::size_t i = part.begin; i < part.end; ++i) wrong += sums[i] != expected[i];
  }
  EXPECT_EQ(wrong, 0U);
  const auto all = static_cast<std::size_t>(world().ordered_sum(static_cast<double>(elements)));
  EXPECT_EQ(all, border);
  double squares = 0;
  for (const double value : expected) squares += value * value;
  EXPECT_NEAR(gradients.sum_of_squares(), squares, 1e-12 * squares);
}

TEST(ScatteredGradients, GiveEachRankTheSumsOfItsParts) {
  for (const Communicator& ranks : layouts()) {
    const SharedArena arena(ranks, border * sizeof(double), Placement::private_memory);
    ScatteredGradients gradients(ranks, ranks.node(), arena, DType::f64, make_sharding(ranks, ranks.node()));
    auto* const own = reinterpret_cast<double*>(arena.data());
    for (int step = 0; step < 3; ++step) {
      const std::vector<double> values = gradients_of(ranks.rank(), step, 0);
      for (std::size_t range = 0; range < 4; ++range) {
        const std::size_t end = range == 3 ? border : ranges[range + 1].begin;
        std::copy_n(values.data() + ranges[range].begin, end - ranges[range].begin,
                    own + ranges[range].begin);
        if (step > 0) gradients.ready_up_to(end);  // in the first step finish() does it all
        gradients.progress();
      }
      gradients.finish();
      expect_sums(gradients, expected_sum(step, 1, false));
      gradients.publish();
    }
  }
}

TEST(PassedGradients, SumEveryRoundAndKeepOnlyTheParts) {
  for (const Communicator& ranks : layouts()) {
    const auto sharding = make_sharding(ranks, ranks.node());
    std::vector<Slice> held = sharding->my_parts();
    for (Slice& part : held) part = {part.begin * sizeof(double), part.end * sizeof(double)};
    const SharedArena arena(ranks, border * sizeof(double), Placement::private_memory, held);
    // A queue of nothing makes every bucket wait for the one before.
    for (const std::size_t queue : {std::size_t{0}, PassedGradients::default_queue_bytes}) {
      PassedGradients gradients(ranks, ranks.node(), arena, DType::f64, sharding,
                                {ranges.begin(), ranges.begin() + 4}, queue);
      for (int step = 0; step < 3; ++step) {
        for (int round = 0; round < 2; ++round) {
          const std::vector<double> values = gradients_of(ranks.rank(), step, round);
          for (std::size_t range = 0; range < 4; ++range) {
            const auto count = static_cast<std::int64_t>(ranges[range].size());
            const Tensor gradient = Tensor::empty({count}, DType::f64);
            gradient.copy_from_host(values.data() + ranges[range].begin);
            gradients.contribute(range, gradient);
          }
        }
        gradients.finish();
        expect_sums(gradients, expected_sum(step, 2, true));
        gradients.publish();
      }
      // A rank without a gradient contributes nothing.
      for (std::size_t range = 0; range < 4; ++range) gradients.contribute(range, Tensor());
      gradients.finish();
      expect_sums(gradients, std::vector<double>(border, 0.0));
      gradients.publish();
    }
  }
}

TEST(PassedGradients, RefusesWhatItCannotSum) {
  const SharedArena arena(world(), border * sizeof(double), Placement::private_memory);
  PassedGradients gradients(world(), world().alone(), arena, DType::f64,
                            make_sharding(world(), world().alone()), {ranges.begin(), ranges.begin() + 4});
  EXPECT_THROW(gradients.contribute(1, Tensor()), Error);
  EXPECT_THROW(gradients.contribute(0, Tensor::zeros({6}, DType::f64)), Error);
  EXPECT_THROW(gradients.contribute(0, Tensor::zeros({5}, DType::f32)), Error);
  gradients.contribute(0, Tensor());
  EXPECT_THROW(gradients.finish(), Error);
  for (std::size_t range = 1; range < 4; ++range) gradients.contribute(range, Tensor());
  gradients.finish();
  gradients.publish();
}

TEST(BucketGather, CompletesEveryHolder) {
  for (const Communicator& ranks : layouts()) {
    const Communicator node = ranks.node();
    const auto sharding = make_sharding(ranks, node);
    BucketGather gather(ranks, node, sharding);
    const auto arena = [&](DType type) {
      const SharedArena memory(ranks, total * size_of(type), Placement::shared);
      return Tensor::wrap(memory.data(), {static_cast<std::int64_t>(total)}, type, memory.owner());
    };
    const Tensor values = arena(DType::f32), copy = arena(DType::bf16);
    for (int step = 1; step < 4; ++step) {
      const auto value = [&](std::size_t i) {
        return static_cast<float>((i * 7 + static_cast<std::size_t>(step)) % 128);
      };
      for (std::size_t bucket = 0; bucket < sharding->buckets().size(); ++bucket) {
        const Slice part = sharding->part(bucket, ranks.rank());
        for (std::size_t i = part.begin; i < part.end; ++i) {
          values.data<float>()[i] = value(i);
          copy.data<bfloat16>()[i] = bfloat16(value(i));
        }
        node.barrier();
        // The copy of all, and two of the ranges in full, as one message.
        std::vector<BucketGather::Segment> exact;
        for (const Slice range : {Slice{16, 40}, Slice{48, 1000}, Slice{1104, 1120}, Slice{1130, 1144}}) {
          if (sharding->bucket_of(range.begin) == bucket) exact.push_back({values, range});
        }
        gather.start(bucket, {{copy, sharding->buckets()[bucket]}});
        gather.start(bucket, exact);
        gather.progress();
      }
      gather.wait();
      std::size_t wrong = 0;
      for (std::size_t i = 0; i < total; ++i) {
        wrong += static_cast<float>(copy.data<bfloat16>()[i]) != value(i);
        const bool exact = (i >= 16 && i < 40) || (i >= 48 && i < 1000) || (i >= 1104 && i < 1120) ||
                           (i >= 1130 && i < 1144);
        wrong += exact && values.data<float>()[i] != value(i);
      }
      EXPECT_EQ(wrong, 0U) << step;
      node.barrier();
    }
  }
}

TEST(SharedArena, HasMemoryForWhatIsHeldAlone) {
  const std::size_t page = 4096;
  for (const Placement placement : {Placement::private_memory, Placement::shared}) {
    const std::vector<Slice> held{{0, 10}, {page + 1, page + 2}, {100 * page, 110 * page - 5}};
    const SharedArena arena(world(), 1000 * page, placement, held);
    EXPECT_EQ(arena.bytes(), 1000 * page);
    EXPECT_EQ(arena.held_bytes(), 12 * page);
    for (const Slice range : held) {
      for (std::size_t i = range.begin; i < range.end; ++i) EXPECT_EQ(arena.data()[i], std::byte{0});
    }
    world().barrier();
    if (world().node_rank() == 0 || placement == Placement::private_memory) {
      std::memset(arena.data() + 100 * page, 1, 10 * page - 5);
    }
    world().barrier();
    EXPECT_EQ(arena.data()[109 * page], std::byte{1});
    world().barrier();
  }
  // A share of something larger than any machine.
  const SharedArena huge(world(), std::size_t{1} << 45, Placement::private_memory,
                         {{std::size_t{1} << 44, (std::size_t{1} << 44) + 100}});
  huge.data()[std::size_t{1} << 44] = std::byte{1};
  EXPECT_EQ(huge.held_bytes(), page);
}

}  // namespace
}  // namespace tessera::comm
