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

template <class T>
std::vector<T> expected_sum(int step) {
  std::vector<T> sum(elements, T(0));
  for (std::size_t k = 0; k < ranges.size(); ++k) {
    for (int round = 0; round < 3; ++round) {
      for (int r = 0; r < world().size(); ++r) {
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

TYPED_TEST(CommonGradientsOf, AreTheSumInRoundAndRankOrderToTheLastBitWhateverTheTiming) {
  using T = TypeParam;
  if (!world().on_one_node()) GTEST_SKIP() << "gradients that exist once per node need one node";
  for (const std::size_t queue_bytes : {CommonGradients::default_queue_bytes, std::size_t{100}}) {
    const SharedArena arena(world(), elements * sizeof(T), Placement::shared);
    CommonGradients gradients(world(), arena, dtype_of<T>, elements, ranges, queue_bytes);
    const T* const sums = reinterpret_cast<const T*>(arena.data());
    for (int step = 0; step < 3; ++step) {
      for (int round = 0; round < 3; ++round) {
        for (std::size_t k = ranges.size(); k-- > 0;) {
          if ((world().rank() + step + round) % 3 == 0) {
            std::this_thread::sleep_for(std::chrono::microseconds(300));
          }
          const bool something = contributes(world().rank(), k, step, round);
          const auto count = static_cast<std::int64_t>(ranges[k].size());
          gradients.contribute(
              k, something ? Tensor::from_host(contribution<T>(world().rank(), k, step, round), {count})
                           : Tensor());
          gradients.progress();
        }
      }
      gradients.finish();
      const std::vector<T> expected = expected_sum<T>(step);
      std::size_t wrong = 0;
      for (std::size_t i = 0; i < elements; ++i) wrong += sums[i] != expected[i];
      EXPECT_EQ(wrong, 0U) << "step " << step;
      long double squares = 0;
      for (const T v : expected) squares += static_cast<long double>(v) * v;
      EXPECT_NEAR(gradients.sum_of_squares(), static_cast<double>(squares),
                  1e-9 * static_cast<double>(squares));
      EXPECT_EQ(gradients.my_slice(), slice_of(elements, world().rank(), world().size(), 16));
      gradients.publish();
    }
    world().barrier();
  }
}

TEST(CommonGradients, RefusesWhatDoesNotFit) {
  const SharedArena arena(world(), 4096, Placement::shared);
  if (!world().on_one_node()) {
    EXPECT_THROW(CommonGradients(world(), arena, DType::f32, 1024, {{0, 10}}), Error);
    return;
  }
  EXPECT_THROW(CommonGradients(world(), arena, DType::f32, 1024, {{0, 1025}}), Error);
  EXPECT_THROW(CommonGradients(world(), arena, DType::f64, 1024, {{0, 10}}), Error);
  if (world().size() > 1) {
    const SharedArena own(world(), 4096, Placement::private_memory);
    EXPECT_THROW(CommonGradients(world(), own, DType::f32, 1024, {{0, 10}}), Error);
  }
  CommonGradients gradients(world(), arena, DType::f32, 1024, {{0, 10}, {16, 26}});
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
