#include <optional>
#include <stdexcept>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "datasets/folder/captions_file.hpp"
#include "targets.hpp"

namespace tessera::fuzz {
namespace {

/// UTF-8 as RFC 3629 has it: shortest forms only, no surrogates, nothing above U+10FFFF.
bool is_utf8(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const auto lead = static_cast<unsigned char>(text[i++]);
    if (lead < 0x80) continue;
    const int more = lead >= 0xF0 ? 3 : lead >= 0xE0 ? 2 : 1;
    if (lead < 0xC2 || lead > 0xF4) return false;
    std::uint32_t point = lead & (0x3FU >> more);
    for (int k = 0; k < more; ++k) {
      if (i >= text.size()) return false;
      const auto next = static_cast<unsigned char>(text[i++]);
      if ((next & 0xC0U) != 0x80U) return false;
      point = point << 6 | (next & 0x3FU);
    }
    const std::uint32_t least = more == 3 ? 0x10000 : more == 2 ? 0x800 : 0x80;
    if (point < least || point > 0x10FFFF || (point >= 0xD800 && point < 0xE000)) return false;
  }
  return true;
}

/// The rows of a text read in chunks of so many bytes; none when it is refused.
std::optional<std::vector<datasets::folder::Row>> rows_of(std::string_view text, std::size_t chunk) {
  using namespace datasets::folder;
  std::vector<Row> rows;
  try {
    CaptionsReader reader(datasets::RecordText(text, "fuzz.csv", chunk));
    for (Row row; reader.next(row);) rows.push_back(row);
  } catch (const Error&) {
    return std::nullopt;
  }
  return rows;
}

}  // namespace

bool run_captions(Bytes bytes) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const auto rows = rows_of(text, bytes.size() + 1);
  if (rows != rows_of(text, 1 + bytes.size() % 7))
    throw std::logic_error("reading in small chunks changes the rows");
  if (!rows) return false;
  for (const datasets::folder::Row& row : *rows) {
    bool good = row.line > 0 && is_utf8(row.group) && is_utf8(row.subgroup);
    for (const std::string& caption : row.captions) good = good && is_utf8(caption);
    for (const std::string& caption : row.alternative_captions) good = good && is_utf8(caption);
    if (!good) throw std::logic_error("a row without a line, or not in UTF-8, was let through");
  }
  return true;
}

}  // namespace tessera::fuzz
