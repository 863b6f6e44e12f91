#include "datasets/features/feature_list.hpp"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "base/error.hpp"
#include "base/schema.hpp"
#include "base/utf8.hpp"

namespace tessera::datasets::features {
namespace {

using Json = nlohmann::json;

/// Reads the keys of one object; what is left over at the end was a mistake.
class Fields {
 public:
  Fields(const Json& object, const std::string& where, const std::string& what)
      : object_(object), where_(where) {
    if (!object.is_object()) refuse(what + " is not a JSON object");
  }

  [[noreturn]] void refuse(const std::string& why) const {
    throw Error("The list of features is not understood: " + why + ".", where_,
                "Write one JSON object a line with \"latents\", \"caption\" and \"features\", in UTF-8.");
  }

  [[nodiscard]] bool has(const char* key) const { return object_.contains(key); }

  std::string text(const char* key, bool required = false) {
    const Json* value = find(key, required);
    if (value == nullptr) return {};
    if (!value->is_string()) refuse(quoted(key) + " is not a string");
    return value->get<std::string>();
  }

  std::optional<std::int64_t> count(const char* key) {
    const Json* value = find(key, false);
    if (value == nullptr) return {};
    if (!value->is_number_integer() || value->get<std::int64_t>() < 0 ||
        value->get<std::int64_t>() > 1'000'000'000) {
      refuse(quoted(key) + " is not a number of at least 0");
    }
    return value->get<std::int64_t>();
  }

  bool flag(const char* key) {
    const Json* value = find(key, false);
    if (value == nullptr) return false;
    if (!value->is_boolean()) refuse(quoted(key) + " is not true or false");
    return value->get<bool>();
  }

  const Json* list(const char* key, bool required) {
    const Json* value = find(key, required);
    if (value != nullptr && !value->is_array()) refuse(quoted(key) + " is not a list");
    return value;
  }

  std::vector<std::string> texts(const char* key, bool required) {
    std::vector<std::string> all;
    const Json* entries = list(key, required);
    if (entries == nullptr) return all;
    for (const Json& entry : *entries) {
      if (!entry.is_string()) refuse(quoted(key) + " holds something that is not a string");
      all.push_back(entry.get<std::string>());
    }
    return all;
  }

  void finish() const {
    for (const auto& [key, value] : object_.items()) {
      if (std::ranges::find(known_, key) != known_.end()) continue;
      const auto nearest = nearest_word(key, known_);
      refuse("the key " + quoted(key) + " is unknown" +
             (nearest ? "; did you mean " + quoted(*nearest) + "?" : ""));
    }
  }

 private:
  static std::string quoted(const std::string& key) { return "\"" + key + "\""; }

  const Json* find(const char* key, bool required) {
    known_.emplace_back(key);
    const auto found = object_.find(key);
    if (found != object_.end()) return &*found;
    if (required) refuse(quoted(key) + " is missing");
    return nullptr;
  }

  const Json& object_;
  const std::string& where_;
  std::vector<std::string> known_;
};

FeatureRow::Caption caption_of(Fields& fields) {
  FeatureRow::Caption caption;
  caption.text = fields.text("caption");
  caption.features = fields.text("features");
  if (const auto length = fields.count("length")) caption.length = static_cast<std::uint32_t>(*length);
  return caption;
}

void read_captions(Fields& fields, const std::string& where, FeatureRow& row) {
  const Json* several = fields.list("captions", false);
  const bool one = fields.has("caption") || fields.has("features") || fields.has("length");
  FeatureRow::Caption alone = caption_of(fields);
  if (several == nullptr) {
    if (one) row.captions.push_back(std::move(alone));
    return;
  }
  if (one) fields.refuse("\"captions\" stands beside \"caption\", \"features\" or \"length\"");
  for (const Json& entry : *several) {
    Fields parts(entry, where, "an entry of \"captions\"");
    row.captions.push_back(caption_of(parts));
    parts.finish();
  }
}

}  // namespace

FeatureList::FeatureList(const std::filesystem::path& path)
    : text_(io::File::open_read(path.string()), path.string()) {
  text_.skip_byte_order_mark();
}

bool FeatureList::next(FeatureRow& row) {
  while (const auto record = text_.next(/*quotes=*/false)) {
    if (record->text.find_first_not_of(" \t\r\n") == std::string_view::npos) continue;
    const std::string where = text_.name() + ":" + std::to_string(record->line);
    const bool readable = utf8_prefix(record->text) == record->text.size();
    const Json object = readable ? Json::parse(record->text, nullptr, /*allow_exceptions=*/false)
                                 : Json(Json::value_t::discarded);
    row = {};
    row.line = record->line;
    Fields fields(object, where, "the line");
    row.latents = fields.texts("latents", true);
    row.controls = fields.texts("controls", false);
    if (row.latents.empty()) fields.refuse("\"latents\" is empty");
    row.id = fields.text("id");
    if (row.id.empty()) row.id = row.latents.front();
    read_captions(fields, where, row);
    row.width = static_cast<std::int32_t>(fields.count("width").value_or(0));
    row.height = static_cast<std::int32_t>(fields.count("height").value_or(0));
    if ((row.width == 0) != (row.height == 0)) fields.refuse("\"width\" and \"height\" go together");
    row.group = fields.text("group");
    row.subgroup = fields.text("subgroup");
    row.held_out = fields.flag("held_out");
    fields.finish();
    return true;
  }
  return false;
}

}  // namespace tessera::datasets::features
