#include "tensor/shape.hpp"

#include <algorithm>

#include "base/error.hpp"

namespace tessera {

Shape::Shape(std::initializer_list<std::int64_t> extents) {
  for (std::int64_t extent : extents) append(extent);
}

void Shape::append(std::int64_t extent) {
  if (rank_ == max_rank) throw Error("a shape has more than " + std::to_string(max_rank) + " extents");
  if (extent < 0) throw Error("a shape has the negative extent " + std::to_string(extent));
  extents_[rank_++] = extent;
}

std::int64_t Shape::numel() const {
  std::int64_t count = 1;
  for (std::int64_t extent : *this) count *= extent;
  return count;
}

bool Shape::operator==(const Shape& other) const {
  return std::equal(begin(), end(), other.begin(), other.end());
}

std::string Shape::to_string() const {
  std::string text = "[";
  for (std::size_t i = 0; i < rank_; ++i) {
    if (i != 0) text += ", ";
    text += std::to_string(extents_[i]);
  }
  return text + "]";
}

}  // namespace tessera
