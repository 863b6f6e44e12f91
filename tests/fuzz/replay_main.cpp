// fuzz_replay CORPUS_FOLDER: runs every target over its corpus, and over cut and altered copies of each
// entry. Entries named good-* have to be accepted and those named bad-* refused, so that a target which
// reaches nothing does not pass.

#include <algorithm>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "targets.hpp"

namespace {

namespace fs = std::filesystem;
using tessera::fuzz::Target;
using Buffer = std::vector<std::uint8_t>;

constexpr int copies = 150;

std::vector<fs::path> entries_of(const fs::path& folder) {
  std::vector<fs::path> entries;
  if (fs::is_directory(folder)) {
    for (const fs::directory_entry& entry : fs::directory_iterator(folder))
      if (entry.is_regular_file()) entries.push_back(entry.path());
  }
  std::sort(entries.begin(), entries.end());
  return entries;
}

Buffer content_of(const fs::path& file) {
  std::ifstream stream(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

/// A copy that is cut, or has some bytes replaced, by a fixed rule.
Buffer altered(const Buffer& bytes, std::mt19937& engine) {
  Buffer copy = bytes;
  if (copy.empty()) return copy;
  if (engine() % 4 == 0) {
    copy.resize(engine() % copy.size());
    return copy;
  }
  for (std::uint32_t changes = 1 + engine() % 8; changes > 0; --changes)
    copy[engine() % copy.size()] = static_cast<std::uint8_t>(engine());
  return copy;
}

/// @return the number of faults.
int replay(const Target& target, const fs::path& folder) {
  int faults = 0, accepted = 0;
  const std::vector<fs::path> entries = entries_of(folder);
  for (const fs::path& entry : entries) {
    const Buffer bytes = content_of(entry);
    std::mt19937 engine(7);
    try {
      const bool good = target.run(bytes);
      accepted += good ? 1 : 0;
      const std::string name = entry.filename().string();
      if (good ? name.starts_with("bad-") : name.starts_with("good-")) {
        std::fprintf(stderr, "%s: was %s\n", entry.c_str(), good ? "accepted" : "refused");
        ++faults;
      }
      for (int i = 0; i < copies; ++i) target.run(altered(bytes, engine));
    } catch (const std::exception& fault) {
      std::fprintf(stderr, "%s: %s\n", entry.c_str(), fault.what());
      ++faults;
    }
  }
  std::printf("%-20.*s %zu entries, %d accepted, %d faults\n", static_cast<int>(target.name.size()),
              target.name.data(), entries.size(), accepted, faults);
  if (accepted == 0) {
    std::fprintf(stderr, "%s: no entry is accepted, so little of the parser runs\n", folder.c_str());
    ++faults;
  }
  return faults;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "fuzz_replay CORPUS_FOLDER\n");
    return 2;
  }
  int faults = 0;
  for (const Target& target : tessera::fuzz::targets())
    faults += replay(target, fs::path(argv[1]) / target.name);
  return faults == 0 ? 0 : 1;
}
