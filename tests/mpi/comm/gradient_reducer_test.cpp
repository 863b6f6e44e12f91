#include "comm/gradient_reducer.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <cstring>
#include <random>
#include <thread>

#include "base/error.hpp"

namespace tessera::comm {
namespace {

const Communicator& world() {
  static const Communicator communicator = Communicator::world();
  return communicator;
}

template <class T>
std::vector<T> gradients_of(int rank, std::size_t count, int step) {
  std::mt19937 engine(static_cast<unsigned>(1000 * step + rank));
  std::uniform_real_distribution<T> uniform(-1, 1);
  std::vector<T> values(count);
  for (T& v : values) v = uniform(engine);
  return values;
}

/// Every rank computes what all ranks' gradients sum to, in rank order.
template <class T>
std::vector<T> expected_sum(std::size_t count, int step) {
  std::vector<T> sum = gradients_of<T>(0, count, step);
  for (int r = 1; r < world().size(); ++r) {
    const std::vector<T> more = gradients_of<T>(r, count, step);
    for (std::size_t i = 0; i < count; ++i) sum[i] += more[i];
  }
  return sum;
}

template <class T>
class Reducers : public testing::Test {};
using Types = testing::Types<float, double>;
TYPED_TEST_SUITE(Reducers, Types);

/// Training of count parameters by p -= g / 8 for some steps; returns the parameters of the last.
template <class T>
std::vector<T> train(Placement parameter_memory, std::size_t count, bool dawdle) {
  const SharedArena gradients(world(), count * sizeof(T), Placement::private_memory);
  const SharedArena parameters(world(), count * sizeof(T), parameter_memory);
  GradientReducerOptions options;
  options.bucket_bytes = 4096;
  options.shared_parameters = parameter_memory == Placement::shared;
  GradientReducer reducer(world(), gradients, dtype_of<T>, count, options);
  T* const g = reinterpret_cast<T*>(gradients.data());
  T* const p = reinterpret_cast<T*>(parameters.data());
  std::vector<T> expected_parameters(count);

  for (int step = 0; step < 4; ++step) {
    const std::vector<T> own = gradients_of<T>(world().rank(), count, step);
    const std::vector<T> before(p, p + count);
    for (std::size_t begin = 0; begin < count; begin += 777) {
      const std::size_t end = std::min(begin + 777, count);
      std::copy(own.begin() + static_cast<std::ptrdiff_t>(begin),
                own.begin() + static_cast<std::ptrdiff_t>(end), g + begin);
      reducer.ready_up_to(end);
      if (dawdle) {
        std::this_thread::sleep_for(std::chrono::microseconds((world().rank() * 37 + step * 11) % 97));
      }
      reducer.progress();
    }
    // What a slow rank still reads must not have been updated by a fast one.
    EXPECT_EQ(std::memcmp(p, before.data(), count * sizeof(T)), 0) << "step " << step;
    reducer.finish();

    const std::vector<T> sum = expected_sum<T>(count, step);
    const Slice slice = reducer.my_parts().front();
    std::size_t wrong = 0;
    for (std::size_t i = slice.begin; i < slice.end; ++i) {
      const bool exact = world().size() <= 2;
      const T tolerance = exact ? T(0) : T(8) * std::numeric_limits<T>::epsilon();
      if (std::abs(g[i] - sum[i]) > tolerance) ++wrong;
    }
    EXPECT_EQ(wrong, 0U) << "step " << step;

    long double squares = 0;
    for (const T v : sum) squares += static_cast<long double>(v) * v;
    const double norm2 = reducer.sum_of_squares();
    EXPECT_NEAR(norm2, static_cast<double>(squares), 1e-6 * static_cast<double>(squares));
    const std::vector<std::string> all =
        world().gather(std::string(reinterpret_cast<const char*>(&norm2), 8));
    for (const std::string& bits : all) EXPECT_EQ(bits, all[0]);

    for (std::size_t i = slice.begin; i < slice.end; ++i) p[i] -= g[i] / T(8);
    reducer.publish();
    for (std::size_t i = 0; i < count; ++i) expected_parameters[i] -= sum[i] / T(8);
    for (std::size_t i = 0; i < count; ++i) {
      wrong += std::abs(p[i] - expected_parameters[i]) > T(16) * std::numeric_limits<T>::epsilon();
    }
    EXPECT_EQ(wrong, 0U) << "step " << step;
  }
  std::vector<T> result(p, p + count);
  world().barrier();
  return result;
}

TYPED_TEST(Reducers, EveryPlacementTrainsTheSameParametersWhateverTheTiming) {
  using T = TypeParam;
  for (const std::size_t count : {1UL, 17UL, 20011UL}) {
    const std::vector<T> buckets = train<T>(Placement::shared, count, false);
    const std::vector<T> buckets_slow = train<T>(Placement::shared, count, true);
    EXPECT_EQ(buckets, buckets_slow);
    EXPECT_EQ(buckets, train<T>(Placement::private_memory, count, false));
  }
}

TEST(GradientReducer, PiecesAreCutFromBucketsLargerThanOne) {
  const std::size_t count = 3 * piece_bytes / sizeof(float) + 12345;
  const SharedArena gradients(world(), count * sizeof(float), Placement::private_memory);
  GradientReducer reducer(world(), gradients, DType::f32, count);
  ASSERT_EQ(reducer.buckets().size(), 1U);
  float* const g = reinterpret_cast<float*>(gradients.data());
  for (std::size_t i = 0; i < count; ++i) g[i] = static_cast<float>(i % 97);
  reducer.bucket_ready(0);
  reducer.finish();
  std::size_t wrong = 0;
  const Slice slice = reducer.my_parts().front();
  for (std::size_t i = slice.begin; i < slice.end; ++i) {
    wrong += g[i] != static_cast<float>(i % 97) * static_cast<float>(world().size());
  }
  EXPECT_EQ(wrong, 0U);
  reducer.publish();
}

TEST(GradientReducer, RefusesWhatItCannotKeep) {
  const SharedArena one(world(), 4096, Placement::shared);
  const SharedArena own(world(), 4096, Placement::private_memory);
  EXPECT_THROW(GradientReducer(world(), one, DType::f32, 1024), Error);
  EXPECT_THROW(GradientReducer(world(), own, DType::f32, 1025), Error);
  EXPECT_THROW(GradientReducer(world(), own, DType::bf16, 10), Error);
  GradientReducer reducer(world(), own, DType::f64, 512, {.bucket_bytes = 1024});
  EXPECT_EQ(reducer.buckets().size(), 4U);
  reducer.bucket_ready(2);
  EXPECT_THROW(reducer.bucket_ready(2), Error);
  reducer.finish();
  reducer.publish();
  reducer.bucket_ready(2);
  reducer.finish();
  reducer.publish();
}

}  // namespace
}  // namespace tessera::comm
