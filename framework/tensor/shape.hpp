#pragma once
// Invariant: a Shape has at most Shape::max_rank extents, none negative, outermost first.

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>

namespace tessera {

class Shape {
 public:
  static constexpr std::size_t max_rank = 6;

  Shape() = default;  ///< a scalar: rank 0, one element
  /// @throws Error on more than max_rank extents or a negative one.
  Shape(std::initializer_list<std::int64_t> extents);
  template <class Iterator>
  Shape(Iterator begin, Iterator end) {
    for (; begin != end; ++begin) append(*begin);
  }

  void append(std::int64_t extent);
  [[nodiscard]] std::size_t rank() const { return rank_; }
  /// Extent i; negative i counts from the innermost (-1).
  [[nodiscard]] std::int64_t operator[](int i) const {
    return extents_[static_cast<std::size_t>(i < 0 ? i + static_cast<int>(rank_) : i)];
  }
  [[nodiscard]] std::int64_t numel() const;
  [[nodiscard]] const std::int64_t* begin() const { return extents_.data(); }
  [[nodiscard]] const std::int64_t* end() const { return extents_.data() + rank_; }
  [[nodiscard]] bool operator==(const Shape& other) const;
  [[nodiscard]] std::string to_string() const;  ///< "[2, 64, 512]"

 private:
  std::array<std::int64_t, max_rank> extents_{};
  std::size_t rank_ = 0;
};

}  // namespace tessera
