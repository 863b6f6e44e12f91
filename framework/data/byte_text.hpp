#pragma once
// Invariant: a ByteReader never reads beyond its bytes: what is cut short or out of range is an Error, and so
// is a length that the bytes that follow cannot hold. Internal to data/.

#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.hpp"

namespace tessera::data {

/// Numbers of 7 bits per byte, the lowest first, and texts after their length.
class ByteWriter {
 public:
  void number(std::uint64_t value) {
    while (value >= 128) {
      bytes_.push_back(static_cast<char>(value % 128 + 128));
      value /= 128;
    }
    bytes_.push_back(static_cast<char>(value));
  }
  void text(std::string_view value) {
    number(value.size());
    bytes_ += value;
  }
  [[nodiscard]] std::string& bytes() { return bytes_; }

 private:
  std::string bytes_;
};

class ByteReader {
 public:
  /// @param where  names the source in errors.
  ByteReader(std::string_view bytes, const std::string& where) : bytes_(bytes), where_(where) {}

  [[nodiscard]] std::uint64_t number() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 63; shift += 7) {
      const std::uint64_t byte = static_cast<unsigned char>(take(1).front());
      value |= (byte % 128) << shift;
      if (byte < 128) return value;
    }
    refuse();
  }
  /// @throws Error when it is larger.
  [[nodiscard]] std::uint64_t number_up_to(std::uint64_t limit) {
    const std::uint64_t value = number();
    if (value > limit) refuse();
    return value;
  }
  /// The number of things that follow, each of a byte or more.
  [[nodiscard]] std::size_t count() { return number_up_to(bytes_.size()); }
  [[nodiscard]] std::string_view text() { return take(count()); }
  [[nodiscard]] std::string_view take(std::size_t size) {
    if (size > bytes_.size()) refuse();
    const std::string_view taken = bytes_.substr(0, size);
    bytes_.remove_prefix(size);
    return taken;
  }
  [[nodiscard]] bool at_end() const { return bytes_.empty(); }
  [[noreturn]] void refuse() const {
    throw Error("this index of shards is damaged.", where_, "Remove it; it is made anew from the shards.");
  }

 private:
  std::string_view bytes_;
  const std::string& where_;
};

}  // namespace tessera::data
