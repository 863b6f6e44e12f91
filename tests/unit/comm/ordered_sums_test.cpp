#include "comm/ordered_sums.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace tessera::comm {
namespace {

template <class T>
std::vector<T> random_values(std::size_t count, unsigned seed) {
  std::mt19937 engine(seed);
  std::uniform_real_distribution<T> uniform(-1, 1);
  std::vector<T> values(count);
  for (T& v : values) v = uniform(engine);
  return values;
}

template <class T>
class OrderedSums : public testing::Test {};
using Types = testing::Types<float, double>;
TYPED_TEST_SUITE(OrderedSums, Types);

TYPED_TEST(OrderedSums, AddInRankOrderToTheLastBit) {
  using T = TypeParam;
  for (const std::size_t count : {0UL, 1UL, 17UL, 2048UL, 5000UL}) {
    for (std::size_t ranks = 1; ranks < 5; ++ranks) {
      std::vector<std::vector<T>> segments;
      std::vector<const T*> sources;
      for (std::size_t r = 0; r < ranks; ++r) {
        segments.push_back(random_values<T>(count, static_cast<unsigned>(7 * r + count)));
      }
      for (const auto& s : segments) sources.push_back(s.data());
      std::vector<T> expected(count);
      for (std::size_t i = 0; i < count; ++i) {
        T sum = segments[0][i];
        for (std::size_t r = 1; r < ranks; ++r) sum += segments[r][i];
        expected[i] = sum;
      }
      std::vector<T>& destination = segments[ranks / 2];  // one of the sources, as in the reducer
      add_in_order(sources, destination.data(), count);
      EXPECT_EQ(destination, expected) << count << " elements, " << ranks << " ranks";
    }
  }
}

TYPED_TEST(OrderedSums, SquaresAreSummedInDouble) {
  using T = TypeParam;
  for (const std::size_t count : {0UL, 1UL, 15UL, 16UL, 33UL, 2048UL, 100003UL}) {
    const std::vector<T> values = random_values<T>(count, 3);
    long double expected = 0;
    for (const T v : values) expected += static_cast<long double>(v) * v;
    EXPECT_NEAR(sum_of_squares(values.data(), count), static_cast<double>(expected),
                1e-13 * static_cast<double>(expected));
  }
}

TEST(OrderedSums, SquaresThatFloatCannotHoldAreNotLost) {
  const std::vector<float> values{1e30F, 1e-30F, 3.0F};
  EXPECT_NEAR(sum_of_squares(values.data(), 1) / 1e60, 1.0, 1e-6);
  EXPECT_NEAR(sum_of_squares(values.data() + 1, 1) / 1e-60, 1.0, 1e-6);
  const std::vector<float> broken{1.0F, NAN};
  EXPECT_TRUE(std::isnan(sum_of_squares(broken.data(), 2)));
}

}  // namespace
}  // namespace tessera::comm
