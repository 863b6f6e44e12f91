#include "datasets/concepts/vocabulary.hpp"

#include <algorithm>

#include "base/hash.hpp"

namespace tessera::datasets::concepts {

std::size_t Vocabulary::slot(std::string_view text, std::uint64_t hash) const {
  const std::size_t mask = table_.size() - 1;
  // FNV's low bits depend on the last letters alone too much; fold the high ones in.
  std::size_t at = static_cast<std::size_t>(hash ^ (hash >> 32)) & mask;
  while (table_[at] != none && (texts_[table_[at]].hash != hash || texts_[table_[at]].text != text)) {
    at = (at + 1) & mask;
  }
  return at;
}

std::uint32_t Vocabulary::find(std::string_view text) const { return table_[slot(text, hash_text(text))]; }

std::uint32_t Vocabulary::add(std::string_view text) {
  const std::uint64_t hash = hash_text(text);
  std::size_t at = slot(text, hash);
  if (table_[at] != none) return table_[at];
  if (2 * (texts_.size() + 1) > table_.size()) {
    grow();
    at = slot(text, hash);
  }
  table_[at] = static_cast<std::uint32_t>(texts_.size());
  texts_.push_back({keep(text), hash});
  return table_[at];
}

void Vocabulary::grow() {
  table_.assign(2 * table_.size(), none);
  for (std::uint32_t number = 0; number < texts_.size(); ++number) {
    table_[slot(texts_[number].text, texts_[number].hash)] = number;
  }
}

std::string_view Vocabulary::keep(std::string_view text) {
  constexpr std::size_t block = std::size_t{1} << 16;
  if (blocks_.empty() || blocks_.back().capacity() - blocks_.back().size() < text.size()) {
    blocks_.emplace_back().reserve(std::max(block, text.size()));
  }
  std::string& letters = blocks_.back();
  letters.append(text);
  return std::string_view(letters).substr(letters.size() - text.size());
}

}  // namespace tessera::datasets::concepts
