#include "datasets/concepts/statistics.hpp"

#include <algorithm>

#include "base/utf8.hpp"

namespace tessera::datasets::concepts {
namespace {

constexpr std::uint64_t small_values = 4096;

double ratio(std::uint64_t part, std::uint64_t whole) {
  return whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole);
}

std::uint64_t count_words(std::string_view text) {
  std::uint64_t words = 0;
  bool inside = false;
  for (const char c : text) {
    const bool blank = c == ' ' || (c >= '\t' && c <= '\r') || c == '\0';
    words += !blank && !inside ? 1 : 0;
    inside = !blank;
  }
  return words;
}

}  // namespace

void Histogram::add(std::uint64_t value) {
  ++count_;
  total_ += value;
  if (value >= small_values) {
    ++large_[value];
    return;
  }
  if (value >= small_.size()) small_.resize(value + 1);
  ++small_[value];
}

double Histogram::mean() const { return ratio(total_, count_); }

double Histogram::median() const {
  if (count_ == 0) return 0;
  return (static_cast<double>(at((count_ - 1) / 2)) + static_cast<double>(at(count_ / 2))) / 2;
}

std::uint64_t Histogram::greatest() const { return count_ == 0 ? 0 : at(count_ - 1); }

// The value with so many below it in sorted order.
std::uint64_t Histogram::at(std::uint64_t rank) const {
  std::uint64_t below = 0;
  for (std::uint64_t value = 0; value < small_.size(); ++value) {
    below += small_[value];
    if (rank < below) return value;
  }
  for (const auto& [value, count] : large_) {
    below += count;
    if (rank < below) return value;
  }
  return 0;
}

void ConceptStatistics::add_caption(std::string_view caption) {
  words_.add(count_words(caption));
  characters_.add(count_code_points(caption));
  const std::vector<std::uint32_t>& found = finder_.find(caption);
  unknown_ += finder_.unknown();
  nouns_ += found.size();
  if (counts_.size() < finder_.nouns().size()) counts_.resize(finder_.nouns().size());
  for (const std::uint32_t noun : found) {
    const std::uint64_t count = ++counts_[noun];
    distinct_ += count == 1 ? 1 : 0;
    valid_ += count == valid_above_ + 1 ? 1 : 0;
  }
}

double ConceptStatistics::valid_share() const { return ratio(valid_, distinct_); }
double ConceptStatistics::nouns_per_image() const { return ratio(nouns_, images_); }
double ConceptStatistics::nouns_per_caption() const { return ratio(nouns_, captions()); }

std::vector<NounCount> ConceptStatistics::top(std::size_t count) const {
  std::vector<std::uint32_t> order;
  for (std::uint32_t noun = 0; noun < counts_.size(); ++noun) {
    if (counts_[noun] > 0) order.push_back(noun);
  }
  const Vocabulary& texts = finder_.nouns();
  count = std::min(count, order.size());
  std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(count), order.end(),
                    [&](std::uint32_t a, std::uint32_t b) {
                      return counts_[a] != counts_[b] ? counts_[a] > counts_[b]
                                                      : texts.text(a) < texts.text(b);
                    });
  std::vector<NounCount> most;
  for (std::size_t i = 0; i < count; ++i)
    most.push_back({std::string(texts.text(order[i])), counts_[order[i]]});
  return most;
}

}  // namespace tessera::datasets::concepts
