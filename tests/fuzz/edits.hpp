#pragma once
// Invariant: any bytes are a list of edits, and every edit can be reached by some bytes.

#include <algorithm>
#include <array>
#include <cstring>
#include <string>

#include "targets.hpp"

namespace tessera::fuzz {

/// Takes values from the front of the input.
class EditReader {
 public:
  explicit EditReader(Bytes bytes) : left_(bytes) {}
  [[nodiscard]] bool done() const { return left_.empty(); }
  /// Zeros where the input ends.
  template <class T>
  T take() {
    T value{};
    const std::size_t bytes = std::min(sizeof(T), left_.size());
    std::memcpy(&value, left_.data(), bytes);
    left_ = left_.subspan(bytes);
    return value;
  }
  /// A length below 32, then as many bytes.
  std::string text() {
    std::string value(take<std::uint8_t>() % 32U, ' ');
    for (char& letter : value) letter = take<char>();
    return value;
  }
  template <std::size_t n>
  const char* choose(const std::array<const char*, n>& names) {
    return names[take<std::uint8_t>() % n];
  }

 private:
  Bytes left_;
};

}  // namespace tessera::fuzz
