#pragma once
// Slot "text-encoder": captions to features.

#include <cstdint>
#include <string>
#include <vector>

namespace tessera {

struct EncodedText {
  std::vector<float> features;  ///< [length, width]
  std::int64_t real_tokens = 0;
};

class TextEncoder {
 public:
  static constexpr const char* slot_name = "text-encoder";
  struct Spec {};
  virtual ~TextEncoder() = default;

  [[nodiscard]] virtual std::int64_t width() const = 0;
  [[nodiscard]] virtual std::int64_t length() const = 0;  ///< positions, padding included
  [[nodiscard]] virtual EncodedText encode(const std::string& caption) const = 0;
  /// What a shard records, so that a run with another encoder is refused.
  [[nodiscard]] virtual std::string identity() const = 0;
};

}  // namespace tessera
