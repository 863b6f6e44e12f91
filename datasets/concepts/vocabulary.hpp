#pragma once
// Invariant: the same text always has the same number; numbers count up from 0 in the order in which texts
// came; memory is proportional to the different texts.

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

namespace tessera::datasets::concepts {

/// Texts as small numbers, found in constant time.
class Vocabulary {
 public:
  static constexpr std::uint32_t none = 0xFFFFFFFF;

  Vocabulary() : table_(1024, none) {}

  [[nodiscard]] std::size_t size() const { return texts_.size(); }
  /// Valid as long as the vocabulary.
  [[nodiscard]] std::string_view text(std::uint32_t number) const { return texts_[number].text; }
  /// `none` when it is not there.
  [[nodiscard]] std::uint32_t find(std::string_view text) const;
  std::uint32_t add(std::string_view text);

 private:
  struct Text {
    std::string_view text;
    std::uint64_t hash = 0;
  };
  /// Where the text is in table_, or where it would go.
  [[nodiscard]] std::size_t slot(std::string_view text, std::uint64_t hash) const;
  std::string_view keep(std::string_view text);
  void grow();

  std::vector<std::uint32_t> table_;  // a power of two; at most half full
  std::vector<Text> texts_;
  std::deque<std::string> blocks_;  // the texts' letters; a block never grows beyond what it reserved
};

}  // namespace tessera::datasets::concepts
