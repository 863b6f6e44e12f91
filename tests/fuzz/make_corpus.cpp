// make_corpus CORPUS_FOLDER: writes the corpus entries that are files of the project's own formats, again
// whenever a format changes. The others are kept by hand.

#include <cstdio>
#include <exception>
#include <filesystem>
#include <string>

#include "io/file.hpp"
#include "sample_files.hpp"

int main(int argc, char** argv) {
  namespace fs = std::filesystem;
  if (argc != 2) {
    std::fprintf(stderr, "make_corpus CORPUS_FOLDER\n");
    return 2;
  }
  try {
    const auto place = [&](const char* target, const char* name) {
      const fs::path folder = fs::path(argv[1]) / target;
      fs::create_directories(folder);
      fs::remove(folder / name);
      return (folder / name).string();
    };
    const std::string shard = place("shard", "good-sample");
    tessera::fuzz::write_sample_shard(shard);
    const std::string checkpoint = place("checkpoint", "good-sample");
    tessera::fuzz::write_checkpoint(checkpoint, {});
    // Each taken for the other, and a shard that lost its end.
    fs::copy_file(checkpoint, place("shard", "bad-other-format"));
    fs::copy_file(shard, place("checkpoint", "bad-other-format"));
    const std::string content = tessera::io::read_file(shard);
    tessera::io::replace_file(place("shard", "bad-cut"), content.substr(0, content.size() / 2));
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "make_corpus: %s\n", error.what());
    return 1;
  }
}
