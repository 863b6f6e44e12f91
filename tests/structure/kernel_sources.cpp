#include "kernel_sources.hpp"

#include <algorithm>
#include <fstream>
#include <map>

namespace tessera::structure {
namespace {

namespace fs = std::filesystem;

bool is_entrance(const std::string& header) {
  return header == "tensor/space.hpp" || header == "compute/parallel.hpp";
}

/// What one file includes.
struct Includes {
  std::vector<std::string> quoted;
  std::size_t kokkos_line = 0;  ///< of an include of Kokkos itself; 0 without one
  [[nodiscard]] bool says_so() const { return std::any_of(quoted.begin(), quoted.end(), is_entrance); }
};

class Tree {
 public:
  explicit Tree(fs::path root) : root_(std::move(root)) {}

  const Includes& of(const fs::path& file) {
    const auto [found, is_new] = files_.try_emplace(file);
    if (!is_new) return found->second;
    std::ifstream text(file);
    std::string line;
    for (std::size_t number = 1; std::getline(text, line); ++number) {
      if (const auto header = quoted_include(line)) found->second.quoted.push_back(*header);
      if (line.starts_with("#include <Kokkos_")) found->second.kokkos_line = number;
    }
    return found->second;
  }

  /// Whether Kokkos comes into a file through its headers.
  bool reaches_kokkos(const fs::path& file) {
    const auto [known, is_new] = reaching_.try_emplace(file, false);  // false also ends a circle of headers
    if (!is_new) return known->second;
    const std::vector<std::string> headers = of(file).quoted;
    const bool reaches = std::any_of(headers.begin(), headers.end(), [&](const std::string& header) {
      if (is_entrance(header)) return true;
      const std::optional<fs::path> next = find(file, header);
      return next && reaches_kokkos(*next);
    });
    return reaching_[file] = reaches;
  }

 private:
  std::optional<fs::path> find(const fs::path& from, const std::string& header) const {
    for (const fs::path& folder : {from.parent_path(), root_ / "framework", root_, root_ / "tests"}) {
      if (fs::exists(folder / header)) return folder / header;
    }
    return std::nullopt;
  }

  fs::path root_;
  std::map<fs::path, Includes> files_;
  std::map<fs::path, bool> reaching_;
};

}  // namespace

std::optional<std::string> quoted_include(std::string_view line) {
  const auto skip_blanks = [&] { line.remove_prefix(std::min(line.find_first_not_of(" \t"), line.size())); };
  skip_blanks();
  if (!line.starts_with('#')) return std::nullopt;
  line.remove_prefix(1);
  skip_blanks();
  if (!line.starts_with("include")) return std::nullopt;
  line.remove_prefix(7);
  skip_blanks();
  if (!line.starts_with('"')) return std::nullopt;
  line.remove_prefix(1);
  return std::string(line.substr(0, line.find('"')));
}

std::vector<std::string> kernel_breaches(const fs::path& root) {
  Tree tree(root);
  std::vector<std::string> found;
  for (const char* area : {"framework", "plugins", "datasets", "launch", "tests"}) {
    if (!fs::is_directory(root / area)) continue;
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(root / area)) {
      const fs::path& path = entry.path();
      const bool source = path.extension() == ".cpp";
      if (!entry.is_regular_file() || (!source && path.extension() != ".hpp")) continue;
      const std::string name = fs::relative(path, root).string();
      if (const std::size_t line = tree.of(path).kokkos_line;
          line > 0 && !name.ends_with("tensor/space.hpp")) {
        found.push_back(name + ":" + std::to_string(line) + ": Kokkos enters through tensor/space.hpp only");
      }
      if (source && !name.ends_with("_host.cpp") && tree.reaches_kokkos(path) && !tree.of(path).says_so()) {
        found.push_back(name +
                        ":1: Kokkos comes in through a header; include compute/parallel.hpp, so that a CUDA "
                        "build gives this file to nvcc");
      }
    }
  }
  return found;
}

}  // namespace tessera::structure
