#include "datasets/folder/captions_file.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "base/error.hpp"
#include "base/utf8.hpp"
#include "io/file.hpp"

namespace tessera::datasets::folder {
namespace {

using Json = nlohmann::json;

[[noreturn]] void refuse(const std::string& name, std::size_t line, const std::string& why) {
  throw Error(
      "The captions file is not understood: " + why + ".", name + ":" + std::to_string(line),
      "Write CSV with the header 'image,caption' (double quotes around text with commas, doubled inside "
      "it), or one JSON object a line with \"image\" and \"caption\", in UTF-8.");
}

// Checked before parsing, so that a line number can be told and no later part meets a broken caption.
void require_utf8(const RecordText::Record& record, const std::string& name) {
  const std::size_t good = utf8_prefix(record.text);
  if (good == record.text.size()) return;
  const std::string_view before = record.text.substr(0, good);
  refuse(name, record.line + static_cast<std::size_t>(std::count(before.begin(), before.end(), '\n')),
         "the line is not UTF-8");
}

// The fields of one CSV record.
class CsvFields {
 public:
  CsvFields(const RecordText::Record& record, const std::string& name)
      : text_(record.text), name_(name), line_(record.line) {}

  // False for an empty line.
  bool split(std::vector<std::string>& fields) {
    fields.clear();
    while (!text_.empty() && (text_.front() == '\n' || text_.front() == '\r')) skip();
    if (text_.empty()) return false;
    for (;;) {
      fields.push_back(field());
      if (text_.empty() || text_.front() != ',') break;
      skip();
    }
    if (!text_.empty() && text_.front() == '\r') skip();
    if (!text_.empty() && text_.front() != '\n')
      refuse(name_, line_, "text after the closing quote of a field");
    return true;
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
  std::size_t line_;
};

bool parse_flag(const std::string& text, const std::string& name, std::size_t line) {
  if (text == "true" || text == "1") return true;
  if (text.empty() || text == "false" || text == "0") return false;
  refuse(name, line, "held_out is '" + text + "', neither true nor false");
}

void read_object(const Json& object, const CaptionFields& captions, const std::string& name, Row& row) {
  if (!object.is_object()) refuse(name, row.line, "the line is not a JSON object");
  const auto text = [&](const std::string& key, bool required) -> std::string {
    const auto found = object.find(key);
    if (found == object.end() && !required) return {};
    if (found == object.end() || !found->is_string())
      refuse(name, row.line, "\"" + key + "\" is missing or not a string");
    return found->get<std::string>();
  };
  row.image = text("image", true);
  row.control = text("control", false);
  row.captions.clear();
  for (const std::string& field : captions) row.captions.push_back(text(field, true));
  row.group = text("group", false);
  row.subgroup = text("subgroup", false);
  row.held_out = false;
  if (const auto flag = object.find("held_out"); flag != object.end()) {
    if (!flag->is_boolean()) refuse(name, row.line, "\"held_out\" is not true or false");
    row.held_out = flag->get<bool>();
  }
  row.alternative_captions.clear();
  if (const auto list = object.find("alternative_captions"); list != object.end()) {
    if (!list->is_array()) refuse(name, row.line, "\"alternative_captions\" is not a list");
    for (const Json& other : *list) {
      if (!other.is_string())
        refuse(name, row.line, "\"alternative_captions\" holds something that is not a string");
      row.alternative_captions.push_back(other.get<std::string>());
    }
  }
}

}  // namespace

class CaptionsReader::Format {
 public:
  Format(RecordText text, CaptionFields captions) : text_(std::move(text)), captions_(std::move(captions)) {}
  Format(const Format&) = delete;
  Format& operator=(const Format&) = delete;
  virtual ~Format() = default;
  virtual bool next(Row& row) = 0;

 protected:
  RecordText text_;
  CaptionFields captions_;
};

class CaptionsReader::Csv final : public Format {
 public:
  Csv(RecordText text, CaptionFields captions) : Format(std::move(text), std::move(captions)) {
    if (!next_record()) refuse(text_.name(), 1, "it is empty");
    width_ = fields_.size();
    const auto column = [this](std::string_view title) {
      return std::find(fields_.begin(), fields_.end(), title) - fields_.begin();
    };
    const auto needed = [&](const std::string& title) {
      const auto at = static_cast<std::size_t>(column(title));
      if (at == width_) refuse(text_.name(), line_, "the header names no column '" + title + "'");
      return at;
    };
    image_ = needed("image");
    for (const std::string& field : captions_) caption_columns_.push_back(needed(field));
    control_ = static_cast<std::size_t>(column("control"));
    group_ = static_cast<std::size_t>(column("group"));
    subgroup_ = static_cast<std::size_t>(column("subgroup"));
    held_out_ = static_cast<std::size_t>(column("held_out"));
    fields_.clear();
  }

  bool next(Row& row) override {
    if (!next_record()) return false;
    if (fields_.size() != width_)
      refuse(text_.name(), line_,
             "it has " + std::to_string(fields_.size()) + " fields where the header has " +
                 std::to_string(width_));
    const auto optional_field = [this](std::size_t at) { return at < width_ ? fields_[at] : std::string(); };
    row.line = line_;
    row.image = fields_[image_];
    row.control = optional_field(control_);
    row.captions.clear();
    for (const std::size_t at : caption_columns_) row.captions.push_back(fields_[at]);
    row.alternative_captions.clear();
    row.group = optional_field(group_);
    row.subgroup = optional_field(subgroup_);
    row.held_out = parse_flag(optional_field(held_out_), text_.name(), line_);
    return true;
  }

 private:
  bool next_record() {
    while (const auto record = text_.next(/*quotes=*/true)) {
      require_utf8(*record, text_.name());
      line_ = record->line;
      if (CsvFields(*record, text_.name()).split(fields_)) return true;
    }
    return false;
  }

  std::vector<std::string> fields_;
  std::size_t line_ = 1;
  std::size_t width_ = 0;  // columns; also stands for a column that is not there
  std::size_t image_ = 0, control_ = 0, group_ = 0, subgroup_ = 0, held_out_ = 0;
  std::vector<std::size_t> caption_columns_;
};

class CaptionsReader::JsonLines final : public Format {
 public:
  using Format::Format;

  bool next(Row& row) override {
    while (const auto record = text_.next(/*quotes=*/false)) {
      require_utf8(*record, text_.name());
      if (record->text.find_first_not_of(" \t\r\n") == std::string_view::npos) continue;
      const Json object = Json::parse(record->text, nullptr, /*allow_exceptions=*/false);
      if (object.is_discarded()) refuse(text_.name(), record->line, "the line is not valid JSON");
      row.line = record->line;
      read_object(object, captions_, text_.name(), row);
      return true;
    }
    return false;
  }
};

CaptionsReader::CaptionsReader(const std::filesystem::path& path, CaptionFields fields)
    : CaptionsReader(RecordText(io::File::open_read(path.string()), path.string()), std::move(fields)) {}

CaptionsReader::CaptionsReader(RecordText text, CaptionFields fields) {
  text.skip_byte_order_mark();
  const std::optional<char> first = text.first_character();
  if (!first) refuse(text.name(), 1, "it is empty");
  if (*first == '{') {
    format_ = std::make_unique<JsonLines>(std::move(text), std::move(fields));
  } else {
    format_ = std::make_unique<Csv>(std::move(text), std::move(fields));
  }
}

CaptionsReader::~CaptionsReader() = default;
CaptionsReader::CaptionsReader(CaptionsReader&&) noexcept = default;
CaptionsReader& CaptionsReader::operator=(CaptionsReader&&) noexcept = default;

bool CaptionsReader::next(Row& row) { return format_->next(row); }

std::filesystem::path find_captions_file(const std::filesystem::path& folder) {
  for (const char* name : {"captions.csv", "captions.jsonl", "metadata.jsonl"})
    if (std::filesystem::exists(folder / name)) return folder / name;
  return {};
}

}  // namespace tessera::datasets::folder
