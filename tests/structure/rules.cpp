#include "rules.hpp"

#include <algorithm>
#include <array>
#include <fstream>
#include <optional>
#include <stdexcept>
#include <string_view>

#include "kernel_sources.hpp"

namespace tessera::structure {
namespace {

namespace fs = std::filesystem;

constexpr std::array<std::string_view, 12> order{"base",   "tensor",     "compute", "ops",
                                                 "nn",     "comm",       "io",      "data",
                                                 "plugin", "checkpoint", "train",   "generate"};

std::optional<std::size_t> place(std::string_view folder) {
  const auto* found = std::find(order.begin(), order.end(), folder);
  if (found == order.end()) return std::nullopt;
  return static_cast<std::size_t>(found - order.begin());
}

std::string first_part(std::string_view path) { return std::string(path.substr(0, path.find('/'))); }

/// Empty when a file of this place may include the header, else why not.
/// @param file  relative to the root.
std::string objection(const fs::path& root, const fs::path& file, const std::string& header) {
  if (header.find("..") != std::string::npos) return "\"" + header + "\" climbs out of its folder";
  auto part = file.begin();
  const std::string area = (part++)->string();
  const std::string folder = part->string();
  const std::string from = first_part(header);
  const std::optional<std::size_t> theirs = place(from);
  const bool core = theirs && fs::exists(root / "framework" / header);
  if (area == "framework") {
    const std::optional<std::size_t> own = place(folder);
    if (!own) return "the folder " + folder + " has no place in the order of the core";
    if (!core) return "\"" + header + "\" is no header of the core, named from framework/";
    if (*theirs > *own) return folder + " comes before " + from + " and may not include it";
    return {};
  }
  if (core) return {};
  if (area == "plugins") {
    if (fs::exists(root / area / folder / header)) return {};
    return "\"" + header + "\" is neither a header of the core nor of this plugin";
  }
  const bool own_tree = from == area || (area == "launch" && from == "datasets");
  // A header without folder is one that the build generates beside the sources, or none at all.
  if ((own_tree && fs::exists(root / header)) || header.find('/') == std::string::npos) return {};
  return "\"" + header + "\" is beyond what " + area + " may include";
}

bool is_source(const fs::path& file) {
  static constexpr std::array<std::string_view, 6> endings{".cpp", ".hpp", ".h", ".sh", ".py", ".cmake"};
  const std::string ending = file.extension().string();
  return std::find(endings.begin(), endings.end(), ending) != endings.end() ||
         file.filename() == "CMakeLists.txt";
}

void check_file(const fs::path& root, const fs::path& file, bool check_includes,
                std::vector<std::string>& found) {
  std::ifstream text(root / file);
  if (!text) throw std::runtime_error("cannot read " + file.string());
  std::string line, first;
  std::size_t lines = 0;
  while (std::getline(text, line)) {
    if (++lines == 1) first = line;
    if (!check_includes) continue;
    if (const std::optional<std::string> header = quoted_include(line)) {
      const std::string why = objection(root, file, *header);
      if (!why.empty()) found.push_back(file.string() + ":" + std::to_string(lines) + ": " + why);
    }
  }
  if (lines > most_lines && !first.starts_with(reason_for_length)) {
    found.push_back(file.string() + ": " + std::to_string(lines) +
                    " lines, and the first does not begin with \"" + reason_for_length + "\"");
  }
}

}  // namespace

std::vector<std::string> breaches(const fs::path& root) {
  if (!fs::is_directory(root / "framework"))
    throw std::runtime_error(root.string() + " has no framework folder");
  std::vector<std::string> found;
  for (const char* area : {"framework", "plugins", "datasets", "launch", "tests", "cmake"}) {
    if (!fs::is_directory(root / area)) continue;
    const bool layered = std::string_view(area) != "tests" && std::string_view(area) != "cmake";
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(root / area)) {
      if (!entry.is_regular_file() || !is_source(entry.path())) continue;
      check_file(root, fs::relative(entry.path(), root), layered, found);
    }
  }
  const std::vector<std::string> kernels = kernel_breaches(root);
  found.insert(found.end(), kernels.begin(), kernels.end());
  std::sort(found.begin(), found.end());
  return found;
}

}  // namespace tessera::structure
