#include "comm/common_gradients.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <random>
#include <thread>

#include "base/error.hpp"

namespace tessera::comm {
namespace {

const Communicator& world() {
  static const Communicator communicator = Communicator::world();
  return communicator;
}

const std::vector<Slice> ranges{{0, 5}, {16, 300000}, {300000, 300001}, {300016, 900000}};
constexpr std::size_t elements = 900016;

template <class T>
std::vector<T> contribution(int rank, std::size_t range, int step, int round) {
  std::mt19937 engine(
      static_cast<unsigned>(rank + 10 * (static_cast<int>(range) + 10 * (round + 10 * step))));
  std::uniform_real_distribution<T> uniform(-1, 1);
  std::vector<T> values(ranges[range].size());
  for (T& v : values) v = uniform(engine);
  return values;
}

/// Some ranks run out of samples in the last round, and one parameter never gets a gradient in odd steps.
bool contributes(int rank, std::size_t range, int step, int round) {
  return !(round == 2 && rank % 2 == 0) && !(range == 2 && step % 2 == 1);
}

std::vector<int> dealt(const std::vector<Slice>& slices) {
  std::vector<std::size_t> sizes;
  for (const Slice slice : slices) sizes.push_back(slice.size());
  return deal_evenly(sizes, world().size());
}

template <class T>
std::vector<T> expected_sum(const CommonGradients& gradients, int step) {
  std::vector<T> sum(elements, T(0));
  for (std::size_t k = 0; k < ranges.size(); ++k) {
    for (int round = 0; round < 3; ++round) {
      for (int place = 0; place < world().size(); ++place) {
        const int r = (gradients.first_rank(k) + place) % world().size();
        if (!contributes(r, k, step, round)) continue;
        const std::vector<T> values = contribution<T>(r, k, step, round);
        for (std::size_t i = 0; i < values.size(); ++i) sum[ranges[k].begin + i] += values[i];
      }
    }
  }
  return sum;
}

template <class T>
class CommonGradientsOf : public testing::Test {};
using Types = testing::Types<float, double>;
TYPED_TEST_SUITE(CommonGradientsOf, Types);

/// A gradient of this rank, at the place that it is offered or, where none is, in memory of its own.
template <class T>
Tensor gradient(const CommonGradients& gradients, std::size_t range, int step, int round) {
  const std::vector<T> values = contribution<T>(world().rank(), range, step, round);
  const auto count = static_cast<std::int64_t>(values.size());
  const Tensor place = gradients.place(range);
  EXPECT_EQ(place.defined(), round == 0 && gradients.first_rank(range) == world().rank());
  if (!place.defined()) return Tensor::from_host(values, {count});
  place.copy_from_host(values.data());
  return place;
}

TYPED_TEST(CommonGradientsOf, AreTheSumInRoundAndRankOrderToTheLastBitWhateverTheTiming) {
  using T = TypeParam;
  if (!world().on_one_node()) GTEST_SKIP() << "gradients that exist once per node need one node";
  for (const std::size_t queue_bytes : {CommonGradients::default_queue_bytes, std::size_t{100}}) {
    const SharedArena arena(world(), elements * sizeof(T), Placement::shared);
    CommonGradients gradients(world(), arena, dtype_of<T>, elements, ranges, dealt(ranges), queue_bytes);
    const T* const sums = reinterpret_cast<const T*>(arena.data());
    for (int step = 0; step < 3; ++step) {
      for (int round = 0; round < 3; ++round) {
        for (std::size_t k = ranges.size(); k-- > 0;) {
          if ((world().rank() + step + round) % 3 == 0) {
            std::this_thread::sleep_for(std::chrono::microseconds(300));
          }
          const bool something = contributes(world().rank(), k, step, round);
          gradients.contribute(k, something ? gradient<T>(gradients, k, step, round) : Tensor());
          gradients.progress();
        }
      }
      gradients.finish();
      const std::vector<T> expected = expected_sum<T>(gradients, step);
      std::size_t wrong = 0;
      for (std::size_t i = 0; i < elements; ++i) wrong += sums[i] != expected[i];
      EXPECT_EQ(wrong, 0U) << "step " << step;
      long double squares = 0;
      for (const T v : expected) squares += static_cast<long double>(v) * v;
      EXPECT_NEAR(gradients.sum_of_squares(), static_cast<double>(squares),
                  1e-9 * static_cast<double>(squares));
      EXPECT_EQ(gradients.my_parts().front(), slice_of(elements, world().rank(), world().size(), 16));
      gradients.publish();
    }
    world().barrier();
  }
}

TEST(CommonGradients, RangesAreDealtByTheirSizes) {
  EXPECT_EQ(deal_evenly({5, 1, 1, 4, 2, 9}, 2), (std::vector<int>{0, 1, 1, 1, 0, 1}));
  EXPECT_EQ(deal_evenly({3, 3, 3}, 3), (std::vector<int>{0, 1, 2}));
  EXPECT_EQ(deal_evenly({3, 3, 3}, 1), (std::vector<int>{0, 0, 0}));
}

TEST(CommonGradients, WhoeverIsAheadHoldsNoMoreThanTheQueueMay) {
  if (!world().on_one_node()) GTEST_SKIP() << "gradients that exist once per node need one node";
  constexpr std::size_t count = 4096;
  constexpr std::size_t limit = 4 * count * sizeof(float);
  std::vector<Slice> equal;
  for (std::size_t k = 0; k < 48; ++k) equal.push_back({k * count, (k + 1) * count});
  const std::size_t all = equal.back().end;
  const SharedArena arena(world(), all * sizeof(float), Placement::shared);
  CommonGradients gradients(world(), arena, DType::f32, all, equal, dealt(equal), limit);
  for (int step = 0; step < 2; ++step) {
    reset_peak_memory();
    const std::size_t before = memory_statistics().current;
    for (std::size_t k = 0; k < equal.size(); ++k) {
      if (world().rank() == step % world().size()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
      Tensor gradient = gradients.place(k);
      if (!gradient.defined()) gradient = Tensor::empty({count}, DType::f32);
      std::fill_n(gradient.data<float>(), count, 1.0F);
      gradients.contribute(k, gradient);
    }
    gradients.finish();
    EXPECT_LE(memory_statistics().peak, before + limit + count * sizeof(float));
    EXPECT_EQ(memory_statistics().current, before);
    const auto ranks = static_cast<double>(world().size());
    EXPECT_EQ(gradients.sum_of_squares(), static_cast<double>(all) * ranks * ranks);
    gradients.publish();
  }
}

TEST(CommonGradients, RefusesWhatDoesNotFit) {
  const SharedArena arena(world(), 4096, Placement::shared);
  if (!world().on_one_node()) {
    EXPECT_THROW(CommonGradients(world(), arena, DType::f32, 1024, {{0, 10}}, {0}), Error);
    return;
  }
  EXPECT_THROW(CommonGradients(world(), arena, DType::f32, 1024, {{0, 1025}}, {0}), Error);
  EXPECT_THROW(CommonGradients(world(), arena, DType::f64, 1024, {{0, 10}}, {0}), Error);
  EXPECT_THROW(CommonGradients(world(), arena, DType::f32, 1024, {{0, 10}}, {}), Error);
  EXPECT_THROW(CommonGradients(world(), arena, DType::f32, 1024, {{0, 10}}, {world().size()}), Error);
  if (world().size() > 1) {
    const SharedArena own(world(), 4096, Placement::private_memory);
    EXPECT_THROW(CommonGradients(world(), own, DType::f32, 1024, {{0, 10}}, {0}), Error);
  }
  CommonGradients gradients(world(), arena, DType::f32, 1024, {{0, 10}, {16, 26}}, {0, 0});
  EXPECT_THROW(gradients.contribute(0, Tensor::zeros({11}, DType::f32)), Error);
  EXPECT_THROW(gradients.contribute(0, Tensor::zeros({10}, DType::f64)), Error);
  gradients.contribute(0, Tensor::zeros({10}, DType::f32));
  EXPECT_THROW(gradients.finish(), Error) << "range 1 has received nothing";
  gradients.contribute(1, Tensor());
  gradients.finish();
  gradients.publish();
}

}  // namespace
}  // namespace tessera::comm
