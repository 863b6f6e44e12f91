#include "datasets/record_text.hpp"

#include <algorithm>
#include <cstring>
#include <memory>
#include <utility>

#include "base/error.hpp"

namespace tessera::datasets {
namespace {

constexpr std::size_t longest_record = 64'000'000;
constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";

}  // namespace

RecordText::RecordText(io::File file, std::string name, std::size_t chunk)
    : name_(std::move(name)), chunk_(chunk) {
  // std::function wants to be copied, a File is moved only.
  const auto shared = std::make_shared<const io::File>(std::move(file));
  const std::uint64_t size = shared->size();
  read_ = [shared, size](char* to, std::size_t bytes, std::uint64_t offset) {
    const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(bytes, size - offset));
    shared->read_at(to, count, offset);
    return count;
  };
}

RecordText::RecordText(std::string_view text, std::string name, std::size_t chunk)
    : name_(std::move(name)), chunk_(chunk) {
  read_ = [text](char* to, std::size_t bytes, std::uint64_t offset) {
    return text.substr(static_cast<std::size_t>(offset)).copy(to, bytes);
  };
}

bool RecordText::read_more() {
  // What was returned makes place, at most once for each time that as much again was read.
  if (begin_ > 0 && begin_ >= buffer_.size() - begin_) {
    buffer_.erase(0, begin_);
    begin_ = 0;
  }
  const std::size_t held = buffer_.size();
  const std::size_t wanted = std::max(chunk_, held - begin_);
  buffer_.resize(held + wanted);
  const std::size_t got = read_(buffer_.data() + held, wanted, offset_ + (held - begin_));
  buffer_.resize(held + got);
  return got > 0;
}

void RecordText::skip_byte_order_mark() {
  while (buffer_.size() < byte_order_mark.size() && read_more()) {
  }
  if (!std::string_view(buffer_).starts_with(byte_order_mark)) return;
  begin_ = byte_order_mark.size();
  offset_ = byte_order_mark.size();
}

std::optional<char> RecordText::first_character() {
  for (std::size_t at = 0;; ++at) {
    if (begin_ + at == buffer_.size()) {
      if (at > longest_record || !read_more()) return std::nullopt;
    }
    const char character = buffer_[begin_ + at];
    if (std::strchr(" \t\r\n", character) == nullptr || character == '\0') return character;
  }
}

std::optional<RecordText::Record> RecordText::next(bool quotes) {
  std::size_t scanned = 0;  // bytes from begin_
  std::size_t lines = 0;
  bool open = false;  // inside quotes
  for (;;) {
    const std::string_view held = std::string_view(buffer_).substr(begin_);
    const std::size_t end = held.find('\n', scanned);
    const bool whole_line = end != std::string_view::npos;
    const std::string_view piece = held.substr(scanned, whole_line ? end + 1 - scanned : held.size());
    if (quotes && std::count(piece.begin(), piece.end(), '"') % 2 != 0) open = !open;
    scanned += piece.size();
    if (whole_line) ++lines;
    bool complete = whole_line && !open;
    if (!complete && !whole_line) {
      if (scanned > longest_record) {
        throw Error("A record is longer than " + io::readable_bytes(longest_record) + ".",
                    name_ + ":" + std::to_string(line_),
                    quotes ? "Close the quote that is open there." : "Write one record a line.");
      }
      complete = !read_more();
    }
    if (!complete) continue;
    if (scanned == 0) return std::nullopt;
    const Record record{std::string_view(buffer_).substr(begin_, scanned), line_, offset_};
    begin_ += scanned;
    offset_ += scanned;
    line_ += lines;
    return record;
  }
}

}  // namespace tessera::datasets
