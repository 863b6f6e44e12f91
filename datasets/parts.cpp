#include "datasets/parts.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <sstream>

#include "data/shard_writer.hpp"
#include "io/file.hpp"

namespace tessera::datasets {
namespace {

namespace fs = std::filesystem;

fs::path all_parts(const std::string& folder) { return fs::path(folder) / "parts"; }

fs::path path_of(const std::string& folder, std::size_t index, std::size_t count) {
  char name[64];
  std::snprintf(name, sizeof name, "part-%05zu-of-%05zu", index + 1, count);
  return all_parts(folder) / name;
}

fs::path manifest(const fs::path& part) { return part / "complete"; }

bool holds_shards(const fs::path& folder) {
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(folder, none)) {
    if (entry.path().extension() == ".h5") return true;
  }
  return false;
}

struct Finished {
  fs::path folder;
  std::size_t pictures = 0, training = 0, held_out = 0;
};

Finished read_manifest(const fs::path& part) {
  Finished finished{.folder = part};
  std::istringstream text(io::read_file(manifest(part).string()));
  if (!(text >> finished.pictures >> finished.training >> finished.held_out)) {
    throw Error("this note of a finished part is damaged.", manifest(part).string(),
                "Remove the folder " + part.string() + " and build this part again.");
  }
  return finished;
}

/// Another process may be moving the same shards to the same names.
void move_shard(const fs::path& from, const fs::path& to) {
  std::error_code reason;
  fs::rename(from, to, reason);
  if (!reason) return;
  std::error_code ignored;
  if (reason.value() == ENOENT && fs::exists(to, ignored)) return;
  throw io::system_error(to.string(), "move " + from.string() + " to this name", reason.value());
}

/// @param held_out  these, else the training shards
std::vector<std::string> move_all(const std::vector<Finished>& parts, const fs::path& to, bool held_out) {
  const auto shards = [&](const Finished& part) { return held_out ? part.held_out : part.training; };
  std::size_t count = 0;
  for (const Finished& part : parts) count += shards(part);
  if (count > 0) io::make_folders(to.string());
  std::vector<std::string> names;
  for (const Finished& part : parts) {
    for (std::size_t i = 0; i < shards(part); ++i) {
      const fs::path name = to / data::shard_name(names.size(), count);
      const fs::path from = held_out ? part.folder / "held_out" : part.folder;
      move_shard(from / data::shard_name(i, shards(part)), name);
      names.push_back(name.string());
    }
  }
  return names;
}

}  // namespace

std::string Part::text() const {
  return "part " + std::to_string(index + 1) + " of " + std::to_string(count);
}

PartFolder::PartFolder(std::string folder, Part part)
    : folder_(std::move(folder)), part_(part), path_(path_of(folder_, part.index, part.count).string()) {}

bool PartFolder::complete() const { return fs::exists(manifest(path_)); }

void PartFolder::begin() const {
  if (holds_shards(folder_)) {
    throw Error("this folder already holds shards.", folder_,
                "Choose an empty folder, or remove the shards that are there.");
  }
  io::make_folders(all_parts(folder_).string());
  for (const auto& entry : fs::directory_iterator(all_parts(folder_))) {
    const std::string name = entry.path().filename().string();
    std::size_t index = 0, count = 0;
    if (std::sscanf(name.c_str(), "part-%zu-of-%zu", &index, &count) == 2 && count == part_.count) continue;
    throw Error(
        "this folder holds '" + name + "', which is none of " + std::to_string(part_.count) + " parts.",
        all_parts(folder_).string(), "Remove the folder, and build all parts with one --part I/N.");
  }
  fs::remove_all(path_);
  io::make_folders(path_);
}

void PartFolder::finish(std::size_t pictures, std::size_t training_shards,
                        std::size_t held_out_shards) const {
  io::replace_file(manifest(path_).string(), std::to_string(pictures) + " " +
                                                 std::to_string(training_shards) + " " +
                                                 std::to_string(held_out_shards) + "\n");
}

std::vector<std::size_t> PartFolder::missing() const {
  std::vector<std::size_t> missing;
  for (std::size_t i = 0; i < part_.count; ++i) {
    if (!fs::exists(manifest(path_of(folder_, i, part_.count)))) missing.push_back(i + 1);
  }
  return missing;
}

std::optional<JoinedShards> PartFolder::join() const {
  if (!missing().empty()) return {};
  std::vector<Finished> parts;
  std::size_t training = 0;
  for (std::size_t i = 0; i < part_.count; ++i) {
    parts.push_back(read_manifest(path_of(folder_, i, part_.count)));
    training += parts.back().training;
    if (parts.back().pictures != parts.front().pictures) {
      throw Error("this part is of a source of " + std::to_string(parts.back().pictures) +
                      " pictures, part 1 of one of " + std::to_string(parts.front().pictures) + ".",
                  parts.back().folder.string(),
                  "Remove " + all_parts(folder_).string() + " and build all parts of one source.");
    }
  }
  if (training == 0) {
    throw Error("every picture of all parts is held out or left out, so there is nothing to train on.",
                folder_, "Choose a larger subset, or hold out less.");
  }
  JoinedShards joined;
  // Held-out shards first: training shards under their names then mean a complete data set.
  joined.held_out = move_all(parts, fs::path(folder_) / "held_out", true);
  joined.training = move_all(parts, folder_, false);
  std::error_code ignored;  // another process may be doing the same
  fs::remove_all(all_parts(folder_), ignored);
  return joined;
}

}  // namespace tessera::datasets
