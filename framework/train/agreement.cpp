#include "train/agreement.hpp"

#include <dlfcn.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cinttypes>
#include <cstdio>
#include <map>
#include <set>
#include <sstream>

#include "base/hash.hpp"
#include "comm/environment.hpp"
#include "compute/libraries.hpp"
#include "io/file.hpp"
#include "plugin/fingerprint.hpp"

namespace tessera::train {
namespace {

constexpr std::size_t most_lines = 8;

std::string hexadecimal(std::uint32_t number) {
  std::array<char, 9> digits{};
  std::snprintf(digits.data(), digits.size(), "%08" PRIx32, number);
  return digits.data();
}

/// Of a file's bytes; "?" where they cannot be read.
std::string checksum_of(const std::string& file) {
  try {
    const io::MappedFile bytes(file);
    return hexadecimal(crc32c(bytes.data(), bytes.size()));
  } catch (const Error&) {
    return "?";
  }
}

/// Keys of the configuration that the result does not depend on.
bool may_differ(const std::string& key) {
  // Data sets and the checkpoint to start from are compared by what is in them.
  static const std::set<std::string> names{"path", "workers", "prefetch", "watchdog_seconds", "max_minutes"};
  return key == "start.checkpoint" || names.contains(key.substr(key.rfind('.') + 1));
}

std::string text_of(const ConfigNode& node) {
  return std::visit(
      [](const auto& value) -> std::string {
        using Value = std::decay_t<decltype(value)>;
        if constexpr (std::is_same_v<Value, ConfigNode::List>) {
          std::string text;
          for (const ConfigNode& entry : value) text += (text.empty() ? "" : ", ") + text_of(entry);
          return "[" + text + "]";
        } else if constexpr (std::is_same_v<Value, ConfigNode::Table>) {
          return "{...}";
        } else {
          return to_toml_text(FieldValue(value));
        }
      },
      node.value);
}

void add_settings(const ConfigNode& node, const std::string& key, Facts& facts) {
  const std::string prefix = key.empty() ? "" : key + ".";
  if (const auto* table = std::get_if<ConfigNode::Table>(&node.value)) {
    for (const auto& [name, entry] : *table) add_settings(entry, prefix + name, facts);
  } else if (node.is_table_list()) {
    const auto& list = std::get<ConfigNode::List>(node.value);
    for (std::size_t i = 0; i < list.size(); ++i) add_settings(list[i], prefix + std::to_string(i), facts);
  } else if (!may_differ(key)) {
    facts.emplace_back(key, text_of(node));
  }
}

std::string contents_of(const data::Dataset& dataset) {
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i < dataset.shards(); ++i) {
    const data::ShardLayout& shard = dataset.layout(i);
    const std::array<std::uint64_t, 3> numbers{shard.records, shard.file_bytes, shard.tables_crc};
    sum = crc32c(numbers.data(), sizeof(numbers), sum);
  }
  return std::to_string(dataset.records()) + " records in " + std::to_string(dataset.shards()) +
         " shards, contents " + hexadecimal(sum);
}

std::string packed(const Facts& facts) {
  std::string text;
  for (const auto& [name, value] : facts) text += name + " = " + value + "\n";
  return text;
}

Facts unpacked(const std::string& text) {
  Facts facts;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const std::size_t at = line.find(" = ");
    if (at != std::string::npos) facts.emplace_back(line.substr(0, at), line.substr(at + 3));
  }
  return facts;
}

/// The ranks that have one value of a fact.
struct Group {
  std::string value;
  std::vector<std::size_t> ranks;
};

std::vector<Group> groups_of(const std::string& name,
                             const std::vector<std::map<std::string, std::string>>& all) {
  std::vector<Group> groups;
  for (std::size_t rank = 0; rank < all.size(); ++rank) {
    const auto found = all[rank].find(name);
    const std::string value = found == all[rank].end() ? "(none)" : found->second;
    const auto same = std::ranges::find(groups, value, &Group::value);
    if (same == groups.end()) {
      groups.push_back({value, {rank}});
    } else {
      same->ranks.push_back(rank);
    }
  }
  // The largest first; of equal ones that of the lower rank.
  std::ranges::stable_sort(groups, std::greater{}, [](const Group& group) { return group.ranks.size(); });
  return groups;
}

}  // namespace

Facts facts_of_run(const ConfigTree& resolved, std::span<const std::shared_ptr<const data::Dataset>> data,
                   const Registry& registry) {
  Facts facts;
  add_settings(resolved.root(), "", facts);
  for (std::size_t i = 0; i < data.size(); ++i) {
    facts.emplace_back("data of stage." + std::to_string(i), contents_of(*data[i]));
  }
  for (const LoadedPlugin& plugin : registry.plugins()) {
    if (!plugin.problem.empty()) continue;
    facts.emplace_back("plugin " + plugin.name,
                       plugin.version + ", file " + checksum_of(plugin.file.string()));
  }
  Dl_info own{};
  const bool known =
      dladdr(reinterpret_cast<const void*>(&differences), &own) != 0 && own.dli_fname != nullptr;
  facts.emplace_back("libtessera", std::string(build_fingerprint()) + ", file " +
                                       (known ? checksum_of(own.dli_fname) : "?"));
  for (const auto& [name, version] : compute::libraries()) facts.emplace_back(name, version);
  facts.emplace_back("MPI", comm::library_version());
  facts.emplace_back("byte order", std::endian::native == std::endian::little ? "little" : "big");
  return facts;
}

std::string differences(const std::vector<RankFacts>& ranks) {
  std::vector<std::map<std::string, std::string>> all;
  std::vector<std::string> names;
  for (const RankFacts& rank : ranks) {
    all.emplace_back(rank.facts.begin(), rank.facts.end());
    for (const auto& [name, value] : rank.facts) names.push_back(name);
  }
  std::set<std::string> seen;
  std::string text;
  std::size_t lines = 0;
  for (const std::string& name : names) {
    if (!seen.insert(name).second) continue;
    const std::vector<Group> groups = groups_of(name, all);
    for (std::size_t i = 1; i < groups.size(); ++i) {
      if (++lines > most_lines) continue;
      const std::size_t rank = groups[i].ranks.front();
      const std::size_t more = groups[i].ranks.size() - 1;
      text += (text.empty() ? "rank " : "\n  rank ") + std::to_string(rank) + " (node " + ranks[rank].node +
              ")" + (more > 0 ? " and " + std::to_string(more) + " more" : "") + ": " + name + " = " +
              groups[i].value + ", others " + groups.front().value;
    }
  }
  if (lines > most_lines) text += "\n  and " + std::to_string(lines - most_lines) + " more differences";
  return text;
}

void expect_alike(const comm::Communicator& world, const Facts& facts) {
  const std::string own = packed(facts);
  const auto hash = static_cast<std::int64_t>(hash_text(own) >> 1);
  std::array<std::int64_t, 2> bounds{hash, -hash};
  world.all_reduce(std::span<std::int64_t>(bounds), comm::Reduction::min);
  if (bounds[0] == -bounds[1]) return;
  std::array<char, 256> host{};
  gethostname(host.data(), host.size() - 1);
  const std::vector<std::string> nodes = world.gather(host.data());
  std::vector<RankFacts> ranks;
  for (const std::string& text : world.gather(own)) ranks.push_back({nodes[ranks.size()], unpacked(text)});
  throw Error("the ranks do not run the same:\n  " + differences(ranks), "start",
              "Start all ranks with one configuration, one build and the same data.");
}

}  // namespace tessera::train
