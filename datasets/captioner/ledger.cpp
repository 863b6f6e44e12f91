#include "datasets/captioner/ledger.hpp"

#include <filesystem>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/error.hpp"
#include "base/hash.hpp"

namespace tessera::datasets::captioner {
namespace {

using Json = nlohmann::ordered_json;  // keys in the order in which they are written here
using folder::Row;

constexpr std::string_view line_beginning = "{\"image\":";

/// A line that this program wrote, with the texts `image`, `caption` and `further`.
Json parse(std::string_view line, const std::string& path, std::size_t number, const char* further) {
  Json record = Json::parse(line, nullptr, /*allow_exceptions=*/false);
  for (const char* key : {"image", "caption", further}) {
    if (record.is_object() && record.contains(key) && record[key].is_string()) continue;
    throw Error("the line is none that 'tessera data caption' wrote", path + ":" + std::to_string(number),
                "remove the line, or name another file to write to");
  }
  return record;
}

}  // namespace

std::string failures_file(const std::string& out) { return out + ".failures"; }

Ledger::Ledger(const std::string& out, unsigned retries)
    : failures_path_(failures_file(out)),
      retries_(retries),
      out_(out, line_beginning,
           [this](std::string_view line, std::size_t number) { read_record(line, number); }),
      failures_(failures_path_, line_beginning,
                [this](std::string_view line, std::size_t number) { read_failure(line, number); }) {}

Ledger::Key Ledger::key_of(std::string_view image, std::string_view caption) {
  std::string both(image);
  both.push_back('\0');
  both += caption;
  return {hash_text(both), crc32c(both.data(), both.size())};
}

void Ledger::read_record(std::string_view line, std::size_t number) {
  const Json record = parse(line, out_.path(), number, "dense_caption");
  states_[key_of(record["image"].get_ref<const std::string&>(),
                 record["caption"].get_ref<const std::string&>())]
      .done = true;
}

// The output was read before: a picture that it holds succeeded after its failures.
void Ledger::read_failure(std::string_view line, std::size_t number) {
  Json record = parse(line, failures_path_, number, "reason");
  const Key key =
      key_of(record["image"].get_ref<const std::string&>(), record["caption"].get_ref<const std::string&>());
  State& state = states_[key];
  if (state.done) return;
  ++state.attempts;
  const auto kind = record.find("kind");
  reasons_[key] = {kind != record.end() && kind->is_string() ? kind->get<std::string>() : "other",
                   record["reason"].get<std::string>()};
}

Ledger::Standing Ledger::visit(const Row& row) {
  State& state = states_[key_of(row)];
  if (std::exchange(state.visited, true)) return Standing::repeated;
  if (state.done) return Standing::done;
  return state.attempts > retries_ ? Standing::given_up : Standing::to_do;
}

void Ledger::add_caption(const Row& row, std::string_view dense_caption) {
  Json record{{"image", row.image}, {"caption", row.captions.front()}, {"dense_caption", dense_caption}};
  if (!row.group.empty()) record["group"] = row.group;
  if (!row.subgroup.empty()) record["subgroup"] = row.subgroup;
  if (row.held_out) record["held_out"] = true;
  if (!row.alternative_captions.empty()) record["alternative_captions"] = row.alternative_captions;
  out_.append(record.dump());
  const Key key = key_of(row);
  states_[key].done = true;
  reasons_.erase(key);
}

void Ledger::add_failure(const Row& row, const Reason& reason) {
  const Key key = key_of(row);
  const unsigned attempt = ++states_[key].attempts;
  const Json record{{"image", row.image},
                    {"caption", row.captions.front()},
                    {"attempt", attempt},
                    {"kind", reason.kind},
                    {"reason", reason.text}};
  failures_.append(record.dump(-1, ' ', false, Json::error_handler_t::replace));
  reasons_[key] = reason;
}

void Ledger::sync() {
  out_.sync();
  failures_.sync();
}

Ledger::Failed Ledger::failed(const Row& row) const {
  const Key key = key_of(row);
  const auto state = states_.find(key);
  const auto reason = reasons_.find(key);
  return {state == states_.end() ? 0 : state->second.attempts,
          reason == reasons_.end() ? Reason{} : reason->second};
}

Ledger::Totals Ledger::totals() const {
  Totals totals;
  for (const auto& [key, state] : states_) {
    if (state.done) totals.strangers += state.visited ? 0 : 1;
    if (state.done || !state.visited) continue;
    (state.attempts > retries_ ? totals.given_up : totals.to_do) += 1;
    if (state.attempts == 0) continue;
    ++totals.failing;
    ++totals.kinds[reasons_.at(key).kind];
  }
  return totals;
}

void Ledger::close() {
  sync();
  std::error_code ignored;  // a file that tells of old failures does no harm
  if (reasons_.empty()) std::filesystem::remove(failures_path_, ignored);
}

}  // namespace tessera::datasets::captioner
