#include "tensor/shape.hpp"

#include <gtest/gtest.h>

#include <vector>

#include "base/error.hpp"

namespace tessera {
namespace {

TEST(Shape, ScalarHasOneElement) {
  const Shape scalar;
  EXPECT_EQ(scalar.rank(), 0U);
  EXPECT_EQ(scalar.numel(), 1);
  EXPECT_EQ(scalar.to_string(), "[]");
}

TEST(Shape, ExtentsFromBothEnds) {
  const Shape shape{2, 3, 5};
  EXPECT_EQ(shape.rank(), 3U);
  EXPECT_EQ(shape.numel(), 30);
  EXPECT_EQ(shape[0], 2);
  EXPECT_EQ(shape[2], 5);
  EXPECT_EQ(shape[-1], 5);
  EXPECT_EQ(shape[-3], 2);
  EXPECT_EQ(shape.to_string(), "[2, 3, 5]");
}

TEST(Shape, EqualityComparesRankAndExtents) {
  EXPECT_TRUE((Shape{2, 3} == Shape{2, 3}));
  EXPECT_FALSE((Shape{2, 3} == Shape{3, 2}));
  EXPECT_FALSE((Shape{2, 3} == Shape{2, 3, 1}));
  EXPECT_FALSE((Shape{} == Shape{1}));
  EXPECT_TRUE((Shape{} == Shape()));
}

TEST(Shape, EmptyExtentsAreLegal) { EXPECT_EQ((Shape{4, 0, 3}.numel()), 0); }

TEST(Shape, BuiltFromARange) {
  const std::vector<std::int64_t> extents = {7, 1, 9};
  EXPECT_TRUE((Shape(extents.begin(), extents.end()) == Shape{7, 1, 9}));
}

TEST(Shape, RejectsNegativeExtentsAndTooManyOfThem) {
  EXPECT_THROW((Shape{2, -1}), Error);
  EXPECT_THROW((Shape{1, 1, 1, 1, 1, 1, 1}), Error);
  EXPECT_NO_THROW((Shape{1, 1, 1, 1, 1, 1}));
}

}  // namespace
}  // namespace tessera
