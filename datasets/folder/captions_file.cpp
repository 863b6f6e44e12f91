#include "datasets/folder/captions_file.hpp"

#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "base/error.hpp"
#include "io/file.hpp"

namespace tessera::datasets::folder {
namespace {

using Json = nlohmann::json;

constexpr std::size_t largest_captions_file = std::size_t{1} << 34;

[[noreturn]] void refuse(const std::string& name, std::size_t line, const std::string& why) {
  throw Error(
      "The captions file is not understood: " + why + ".", name + ":" + std::to_string(line),
      "Write CSV with the header 'image,caption' (double quotes around text with commas, doubled inside "
      "it), or one JSON object a line with \"image\" and \"caption\", in UTF-8.");
}

// Splits CSV into records, keeping the line on which each begins.
class CsvReader {
 public:
  CsvReader(std::string_view text, const std::string& name) : text_(text), name_(name) {}

  struct Record {
    std::size_t line = 0;
    std::vector<std::string> fields;
  };

  /// The next record that is not an empty line; none at the end.
  std::optional<Record> next() {
    while (!text_.empty() && (text_.front() == '\n' || text_.front() == '\r')) skip();
    if (text_.empty()) return std::nullopt;
    Record record;
    record.line = line_;
    for (;;) {
      record.fields.push_back(field());
      if (text_.empty() || text_.front() != ',') break;
      skip();
    }
    if (!text_.empty() && text_.front() == '\r') skip();
    if (!text_.empty() && text_.front() != '\n')
      refuse(name_, line_, "text after the closing quote of a field");
    if (!text_.empty()) skip();
    return record;
  }

 private:
  void skip() {
    if (text_.front() == '\n') ++line_;
    text_.remove_prefix(1);
  }

  std::string field() {
    if (text_.empty() || text_.front() != '"') {
      const std::string plain(text_.substr(0, std::min(text_.find_first_of(",\r\n"), text_.size())));
      if (plain.find('"') != std::string::npos)
        refuse(name_, line_, "a quote inside a field that is not quoted");
      text_.remove_prefix(plain.size());
      return plain;
    }
    const std::size_t begin = line_;
    std::string quoted;
    for (skip();; skip()) {
      if (text_.empty()) refuse(name_, begin, "a quoted field is not closed");
      if (text_.front() != '"') {
        quoted.push_back(text_.front());
        continue;
      }
      skip();
      if (text_.empty() || text_.front() != '"') return quoted;
      quoted.push_back('"');
    }
  }

  std::string_view text_;
  const std::string& name_;
  std::size_t line_ = 1;
};

bool parse_flag(const std::string& text, const std::string& name, std::size_t line) {
  if (text == "true" || text == "1") return true;
  if (text.empty() || text == "false" || text == "0") return false;
  refuse(name, line, "held_out is '" + text + "', neither true nor false");
}

std::vector<Row> parse_csv(std::string_view text, const std::string& name) {
  CsvReader reader(text, name);
  const auto header = reader.next();
  if (!header) refuse(name, 1, "it is empty");
  const auto column = [&header](std::string_view title) -> std::optional<std::size_t> {
    for (std::size_t i = 0; i < header->fields.size(); ++i)
      if (header->fields[i] == title) return i;
    return std::nullopt;
  };
  const auto image = column("image"), caption = column("caption");
  if (!image || !caption) refuse(name, header->line, "the header names no columns 'image' and 'caption'");
  const auto group = column("group"), subgroup = column("subgroup"), held_out = column("held_out");

  std::vector<Row> rows;
  while (const auto record = reader.next()) {
    if (record->fields.size() != header->fields.size())
      refuse(name, record->line,
             "it has " + std::to_string(record->fields.size()) + " fields where the header has " +
                 std::to_string(header->fields.size()));
    const auto field = [&record](const std::optional<std::size_t>& at) {
      return at ? record->fields[*at] : std::string();
    };
    Row row;
    row.line = record->line;
    row.image = field(image);
    row.caption = field(caption);
    row.group = field(group);
    row.subgroup = field(subgroup);
    row.held_out = parse_flag(field(held_out), name, record->line);
    rows.push_back(std::move(row));
  }
  return rows;
}

Row row_of(const Json& object, const std::string& name, std::size_t line) {
  if (!object.is_object()) refuse(name, line, "the line is not a JSON object");
  const auto text = [&](const char* key, bool required) -> std::string {
    const auto found = object.find(key);
    if (found == object.end() && !required) return {};
    if (found == object.end() || !found->is_string())
      refuse(name, line, "\"" + std::string(key) + "\" is missing or not a string");
    return found->get<std::string>();
  };
  Row row;
  row.line = line;
  row.image = text("image", true);
  row.caption = text("caption", true);
  row.group = text("group", false);
  row.subgroup = text("subgroup", false);
  if (const auto flag = object.find("held_out"); flag != object.end()) {
    if (!flag->is_boolean()) refuse(name, line, "\"held_out\" is not true or false");
    row.held_out = flag->get<bool>();
  }
  if (const auto list = object.find("alternative_captions"); list != object.end()) {
    if (!list->is_array()) refuse(name, line, "\"alternative_captions\" is not a list");
    for (const Json& other : *list) {
      if (!other.is_string())
        refuse(name, line, "\"alternative_captions\" holds something that is not a string");
      row.alternative_captions.push_back(other.get<std::string>());
    }
  }
  return row;
}

std::vector<Row> parse_json_lines(std::string_view text, const std::string& name) {
  std::vector<Row> rows;
  for (std::size_t line = 1; !text.empty(); ++line) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view one = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (one.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    const Json object = Json::parse(one, nullptr, /*allow_exceptions=*/false);
    if (object.is_discarded()) refuse(name, line, "the line is not valid JSON");
    rows.push_back(row_of(object, name, line));
  }
  return rows;
}

// The length of the UTF-8 sequence at the start of the text; 0 if there is none.
std::size_t utf8_length(std::string_view text) {
  const auto byte = [&text](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return 1;
  const std::size_t length = lead >= 0xC2 && lead < 0xE0   ? 2
                             : lead >= 0xE0 && lead < 0xF0 ? 3
                             : lead >= 0xF0 && lead < 0xF5 ? 4
                                                           : 0;
  if (length == 0 || length > text.size()) return 0;
  for (std::size_t i = 1; i < length; ++i)
    if ((byte(i) & 0xC0) != 0x80) return 0;
  const bool overlong = (lead == 0xE0 && byte(1) < 0xA0) || (lead == 0xF0 && byte(1) < 0x90);
  const bool surrogate_or_beyond = (lead == 0xED && byte(1) > 0x9F) || (lead == 0xF4 && byte(1) > 0x8F);
  return overlong || surrogate_or_beyond ? 0 : length;
}

// Checked before parsing, so that a line number can be told and no later part meets a broken caption.
void require_utf8(std::string_view text, const std::string& name) {
  std::size_t line = 1;
  while (!text.empty()) {
    const std::size_t length = utf8_length(text);
    if (length == 0) refuse(name, line, "the line is not UTF-8");
    if (text.front() == '\n') ++line;
    text.remove_prefix(length);
  }
}

}  // namespace

std::vector<Row> parse_captions(std::string_view text, const std::string& name) {
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);  // the byte order mark of some spreadsheets
  require_utf8(text, name);
  const auto first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) refuse(name, 1, "it is empty");
  return text[first] == '{' ? parse_json_lines(text, name) : parse_csv(text, name);
}

std::vector<Row> read_captions(const std::filesystem::path& path) {
  return parse_captions(io::read_file(path.string(), largest_captions_file), path.string());
}

}  // namespace tessera::datasets::folder
