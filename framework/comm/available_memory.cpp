#include "comm/available_memory.hpp"

#include <algorithm>
#include <fstream>
#include <limits>
#include <optional>
#include <sstream>
#include <string>

namespace tessera::comm {
namespace {

namespace fs = std::filesystem;
constexpr std::size_t unlimited = std::numeric_limits<std::size_t>::max();

struct GroupFiles {
  const char* mount;
  const char* limit;
  const char* usage;
  const char* reclaimable;  ///< key in memory.stat: file cache that the kernel drops on demand
};
constexpr GroupFiles version_2{"sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"};
constexpr GroupFiles version_1{"sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes",
                               "total_inactive_file"};

std::optional<std::size_t> number_in(const fs::path& file) {
  std::ifstream stream(file);
  std::size_t value = 0;
  if (stream >> value) return value;
  return std::nullopt;  // absent, or the word "max"
}

/// The number after `key` in a file of "key number" lines.
std::optional<std::size_t> number_after(const fs::path& file, const std::string& key) {
  std::ifstream stream(file);
  std::string line;
  while (std::getline(stream, line)) {
    std::istringstream words(line);
    std::string word;
    std::size_t value = 0;
    if (words >> word >> value && word == key) return value;
  }
  return std::nullopt;
}

std::size_t left_in_group(const fs::path& folder, const GroupFiles& files) {
  const auto limit = number_in(folder / files.limit);
  const auto usage = number_in(folder / files.usage);
  if (!limit || !usage) return unlimited;
  const std::size_t reclaimable = number_after(folder / "memory.stat", files.reclaimable).value_or(0);
  const std::size_t held = *usage - std::min(*usage, reclaimable);
  return *limit - std::min(*limit, held);
}

/// The tightest group from the process's own up to the root: a limit binds everything below it.
std::size_t left_in_groups(const fs::path& root, const GroupFiles& files, const std::string& group) {
  const fs::path mount = root / files.mount;
  std::size_t left = left_in_group(mount, files);
  fs::path folder = mount;
  for (const fs::path& part : fs::path(group).relative_path()) {
    folder /= part;
    left = std::min(left, left_in_group(folder, files));
  }
  return left;
}

}  // namespace

std::size_t available_memory(const fs::path& root) {
  std::size_t left = unlimited;
  if (const auto kib = number_after(root / "proc/meminfo", "MemAvailable:")) left = *kib * 1024;
  std::ifstream groups(root / "proc/self/cgroup");
  std::string line;  // "number:controllers:/path"; version 2 has no controllers
  while (std::getline(groups, line)) {
    const std::size_t first = line.find(':');
    const std::size_t second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = ',' + line.substr(first + 1, second - first - 1) + ',';
    const std::string group = line.substr(second + 1);
    if (controllers == ",,") left = std::min(left, left_in_groups(root, version_2, group));
    if (controllers.find(",memory,") != std::string::npos) {
      left = std::min(left, left_in_groups(root, version_1, group));
    }
  }
  return left;
}

}  // namespace tessera::comm
